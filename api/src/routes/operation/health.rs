//! `GET /health` and `GET /health/db`: whether the service can do its work.

use crate::routes::operation::probe::probe;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::Store;
use serde::Serialize;
use utoipa::ToSchema;

/// Tells whether the service can do its work.
#[utoipa::path(
    get,
    path = "/health",
    tag = "operation",
    responses(
        (status = 200, description = "It can.", body = Health),
        (status = 503, description = "It cannot.", body = Health),
    ),
)]
pub(crate) async fn read_health(State(store): State<Store>) -> (StatusCode, Json<Health>) {
    let database = database_health(&store).await;
    (status_code(database), Json(Health { status: database, database }))
}

/// Tells whether the database answers.
#[utoipa::path(
    get,
    path = "/health/db",
    tag = "operation",
    responses(
        (status = 200, description = "It does.", body = DatabaseHealth),
        (status = 503, description = "It does not.", body = DatabaseHealth),
    ),
)]
pub(crate) async fn read_database_health(
    State(store): State<Store>,
) -> (StatusCode, Json<DatabaseHealth>) {
    let database = database_health(&store).await;
    (status_code(database), Json(DatabaseHealth { database }))
}

/// How the service stands. Why, the log tells.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `healthy` or `unhealthy`.
    #[schema(example = "healthy")]
    status: &'static str,
    /// `healthy` or `unhealthy`.
    #[schema(example = "healthy")]
    database: &'static str,
}

/// How the database stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatabaseHealth {
    /// `healthy` or `unhealthy`.
    #[schema(example = "healthy")]
    database: &'static str,
}

const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";

async fn database_health(store: &Store) -> &'static str {
    let store = store.clone();
    match probe(async move { store.ping().await }).await {
        Some(Ok(())) => HEALTHY,
        Some(Err(error)) => {
            tracing::warn!(error = error.kind(), "the database is unhealthy");
            UNHEALTHY
        }
        None => {
            tracing::warn!("the database did not answer in time");
            UNHEALTHY
        }
    }
}

fn status_code(health: &str) -> StatusCode {
    if health == HEALTHY { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
