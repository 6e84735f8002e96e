use crate::app::{AppState, StartProblem};
use crate::openapi::names::ServicePart;
use crate::routes::operation::probe::probe;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{DatabaseState, Store};
use serde::Serialize;
use utoipa::ToSchema;

/// Check whether this process can serve requests
///
/// The process is ready if it is not shutting down and the database responds, has been migrated and accepts writes. The
/// response also shows the state of Temporal, which does not affect readiness. While Temporal is unavailable,
/// submissions are still accepted, and their runs start later.
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
    let (database, temporal, paused) = tokio::join!(
        database(store.clone()),
        probe((state.app.temporal_health)()),
        probe(async move { store.pauses().await })
    );
    let paused = paused.and_then(Result::ok);
    let start_problem = match temporal {
        Some(Ok(())) => None,
        Some(Err(problem)) => Some(problem),
        None => Some(StartProblem::TemporalUnreachable),
    };
    let is_ready = database == DatabaseStatus::Migrated && !state.closing.is_cancelled();
    let body = Readiness {
        status: if is_ready { ReadinessStatus::Ready } else { ReadinessStatus::NotReady },
        database,
        temporal: match start_problem {
            Some(StartProblem::TemporalUnreachable) => TemporalStatus::Unreachable,
            _ => TemporalStatus::Reachable,
        },
        start_problem,
        paused: paused.map(|pauses| pauses.into_iter().map(|pause| pause.target.into()).collect()),
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
    /// Reason runs cannot be started, or started runs make no progress. `null` if there is no such problem.
    #[schema(required)]
    start_problem: Option<StartProblem>,
    /// Parts of the service that staff have paused; `null` if the database is unavailable. A pause does not affect
    /// readiness.
    #[schema(required)]
    paused: Option<Vec<ServicePart>>,
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
    ReadOnly,
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
    match probe(async move { store.database_state().await }).await {
        Some(Ok(DatabaseState::Ready)) => DatabaseStatus::Migrated,
        Some(Ok(DatabaseState::ReadOnly)) => DatabaseStatus::ReadOnly,
        Some(Ok(DatabaseState::NotMigrated)) => DatabaseStatus::NotMigrated,
        _ => DatabaseStatus::Unreachable,
    }
}
