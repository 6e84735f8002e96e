//! `GET /ready`: whether this process may be sent requests.

use crate::app::AppState;
use crate::routes::operation::probe::probe;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::Store;
use serde::Serialize;
use utoipa::ToSchema;

/// Tells whether this process may be sent requests.
///
/// It may when the database answers and is migrated. Temporal is only reported: submissions are
/// taken without it, and started when it is back.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "operation",
    responses(
        (status = 200, description = "It may.", body = Readiness),
        (status = 503, description = "It may not.", body = Readiness),
    ),
)]
pub(crate) async fn read_readiness(State(state): State<AppState>) -> (StatusCode, Json<Readiness>) {
    let store = state.app.store.clone();
    let (database, temporal) = tokio::join!(database(store), probe((state.app.temporal_health)()));
    let is_ready = database == "migrated" && !state.closing.is_cancelled();
    let body = Readiness {
        status: if is_ready { "ready" } else { "not_ready" },
        database,
        temporal: if temporal == Some(true) { "reachable" } else { "unreachable" },
    };
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(body))
}

/// How ready the process is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready` or `not_ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// `migrated`, `not_migrated` or `unreachable`.
    #[schema(example = "migrated")]
    database: &'static str,
    /// `reachable` or `unreachable`.
    #[schema(example = "reachable")]
    temporal: &'static str,
}

async fn database(store: Store) -> &'static str {
    match probe(async move { store.is_migrated().await }).await {
        Some(Ok(true)) => "migrated",
        Some(Ok(false)) => "not_migrated",
        _ => "unreachable",
    }
}
