use crate::app::AppState;
use crate::routes::operation::probe::probe;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::Store;
use serde::Serialize;
use utoipa::ToSchema;

/// Check whether this process can serve requests
///
/// The process is ready when the database responds and is migrated. Temporal is reported but not required: without it,
/// submissions are accepted and started later.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "operation",
    responses(
        (status = 200, description = "Ready.", body = Readiness),
        (status = 503, description = "Not ready.", body = Readiness),
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

/// Readiness of this process.
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
