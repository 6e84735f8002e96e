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

/// Health of the service or of one of its components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum HealthStatus {
    Healthy,
    Unhealthy,
}

/// Health of the service. If the service is unhealthy, the log contains the reason.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Health of the service.
    status: HealthStatus,
    /// Health of the database.
    database: HealthStatus,
}

/// Health of the database.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatabaseHealth {
    /// Health of the database.
    database: HealthStatus,
}

async fn database_health(store: &Store) -> HealthStatus {
    let store = store.clone();
    match probe(async move { store.ping().await }).await {
        Some(Ok(())) => HealthStatus::Healthy,
        Some(Err(error)) => {
            tracing::warn!(error = error.kind(), "database unhealthy");
            HealthStatus::Unhealthy
        }
        None => {
            tracing::warn!("database did not respond in time");
            HealthStatus::Unhealthy
        }
    }
}

fn status_code(health: HealthStatus) -> StatusCode {
    match health {
        HealthStatus::Healthy => StatusCode::OK,
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    }
}
