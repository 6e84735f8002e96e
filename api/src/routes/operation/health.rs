use crate::routes::operation::probe::probe;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::Store;
use serde::Serialize;
use utoipa::ToSchema;

/// Check the health of the service
#[utoipa::path(
    get,
    path = "/health",
    tag = "operation",
    responses(
        (status = 200, description = "Healthy.", body = Health),
        (status = 503, description = "Unhealthy.", body = Health),
    ),
)]
pub(crate) async fn read_health(State(store): State<Store>) -> (StatusCode, Json<Health>) {
    let database = database_health(&store).await;
    (status_code(database), Json(Health { status: database, database }))
}

/// Check the health of the database
#[utoipa::path(
    get,
    path = "/health/db",
    tag = "operation",
    responses(
        (status = 200, description = "Healthy.", body = DatabaseHealth),
        (status = 503, description = "Unhealthy.", body = DatabaseHealth),
    ),
)]
pub(crate) async fn read_database_health(
    State(store): State<Store>,
) -> (StatusCode, Json<DatabaseHealth>) {
    let database = database_health(&store).await;
    (status_code(database), Json(DatabaseHealth { database }))
}

/// Health of the service. The log contains the reason if it is unhealthy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `healthy` or `unhealthy`.
    #[schema(example = "healthy")]
    status: &'static str,
    /// `healthy` or `unhealthy`.
    #[schema(example = "healthy")]
    database: &'static str,
}

/// Health of the database.
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
            tracing::warn!(error = error.kind(), "database unhealthy");
            UNHEALTHY
        }
        None => {
            tracing::warn!("database did not respond in time");
            UNHEALTHY
        }
    }
}

fn status_code(health: &str) -> StatusCode {
    if health == HEALTHY { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
