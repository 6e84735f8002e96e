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
    let is_ready = database == DatabaseStatus::Migrated && !state.closing.is_cancelled();
    let body = Readiness {
        status: if is_ready { ReadinessStatus::Ready } else { ReadinessStatus::NotReady },
        database,
        temporal: match temporal {
            Some(true) => TemporalStatus::Reachable,
            _ => TemporalStatus::Unreachable,
        },
    };
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(body))
}

/// Readiness of this process.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Readiness of this process.
    status: ReadinessStatus,
    /// State of the database.
    database: DatabaseStatus,
    /// State of Temporal.
    temporal: TemporalStatus,
}

/// Readiness of a process.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReadinessStatus {
    Ready,
    NotReady,
}

/// State of the database.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DatabaseStatus {
    Migrated,
    NotMigrated,
    Unreachable,
}

/// State of Temporal.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum TemporalStatus {
    Reachable,
    Unreachable,
}

async fn database(store: Store) -> DatabaseStatus {
    match probe(async move { store.is_migrated().await }).await {
        Some(Ok(true)) => DatabaseStatus::Migrated,
        Some(Ok(false)) => DatabaseStatus::NotMigrated,
        _ => DatabaseStatus::Unreachable,
    }
}
