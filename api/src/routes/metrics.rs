//! `GET /metrics`: numbers for Prometheus.

use super::patience::ask;
use crate::app::AppState;
use crate::telemetry;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::time::Duration;

/// A new run is started within moments; what waits longer is worth an alarm.
const OVERDUE: Duration = Duration::from_secs(5);

/// The process's numbers in Prometheus' text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses((status = 200, description = "The numbers.", content_type = "text/plain", body = String)),
)]
pub(crate) async fn metrics(State(state): State<AppState>) -> Response {
    let store = state.app.store.clone();
    match ask(async move { store.queued_runs(OVERDUE).await }).await {
        Some(Ok(count)) => telemetry::queued_runs(count),
        // The other numbers are wanted all the more then.
        _ => tracing::warn!("cannot count the runs that wait"),
    }
    let text = state.app.metrics.render();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
