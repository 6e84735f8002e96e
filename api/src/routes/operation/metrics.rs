use crate::app::AppState;
use crate::routes::operation::probe::probe;
use crate::telemetry;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use diagflow_store::StoreError;
use std::time::Duration;

/// Age at which a queued run counts as overdue. Runs normally start much sooner.
const OVERDUE: Duration = Duration::from_secs(5);
/// Time after the deadline at which an open submission counts as overdue. Recording the end of a run normally takes
/// seconds. The deadline is counted from the creation of the run, so that a run that never starts is overdue too.
pub(crate) const AFTER_DEADLINE: Duration = Duration::from_secs(300);

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
    let (store, deadline) = (state.app.store.clone(), state.app.dispatch.deadline);
    let blocked = async move {
        let stuck = store.count_stuck().await?;
        let overdue = store.count_overdue(deadline + AFTER_DEADLINE).await?;
        Ok::<_, StoreError>((stuck, overdue, store.count_overdue_emails().await?))
    };
    let store = state.app.store.clone();
    let pauses = async move { store.pauses().await };
    let (count, now, blocked, pauses) =
        tokio::join!(probe(count), probe(now), probe(blocked), probe(pauses));
    // If one of these queries fails, the other metrics are still returned.
    match count {
        Some(Ok(count)) => telemetry::queued_runs(count),
        _ => tracing::warn!("cannot count queued runs"),
    }
    match now {
        Some(Ok(now)) => telemetry::loopai(now),
        _ => tracing::warn!("cannot read LoopAI usage"),
    }
    match blocked {
        Some(Ok((stuck, overdue, emails))) => {
            telemetry::stuck_runs(stuck);
            telemetry::overdue_submissions(overdue);
            telemetry::overdue_emails(emails);
        }
        _ => tracing::warn!("cannot count stuck runs, overdue submissions and overdue e-mails"),
    }
    match pauses {
        Some(Ok(pauses)) => telemetry::pauses(&pauses),
        _ => tracing::warn!("cannot read pauses"),
    }
    let text = state.app.metrics.render();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
