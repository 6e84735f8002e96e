use crate::app::AppState;
use crate::routes::operation::probe::probe;
use crate::telemetry;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::time::Duration;

/// Queued runs normally start much sooner.
const OVERDUE: Duration = Duration::from_secs(5);

/// Get metrics in the Prometheus text format
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses((status = 200, description = "The metrics.", content_type = "text/plain", body = String)),
)]
pub(crate) async fn read_metrics(State(state): State<AppState>) -> Response {
    let store = state.app.store.clone();
    let count = async move { store.count_queued_runs(OVERDUE).await };
    let store = state.app.store.clone();
    let now = async move { store.loopai_usage().await };
    let (count, now) = tokio::join!(probe(count), probe(now));
    // The other metrics are still useful without these.
    match count {
        Some(Ok(count)) => telemetry::queued_runs(count),
        _ => tracing::warn!("cannot count queued runs"),
    }
    match now {
        Some(Ok(now)) => telemetry::loopai(now),
        _ => tracing::warn!("cannot read the usage of LoopAI"),
    }
    let text = state.app.metrics.render();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
