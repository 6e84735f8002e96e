use crate::app::AppState;
use crate::error::ApiResult;
use crate::events::submission_events::{FollowSubmission, submission_events, until_terminal_event};
use crate::extract::last_event_id::LastEventId;
use crate::extract::submission_access::SubmissionAccess;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use axum::response::sse::Sse;
use axum::response::{IntoResponse, Response};

/// Proxies must not change or buffer the stream.
pub(crate) const STREAM_HEADERS: [(HeaderName, &str); 2] = [
    (CACHE_CONTROL, "no-cache, no-transform"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// Follow a submission
///
/// Returns server-sent events until the submission reaches a final state. Events are named `status_update`, or
/// `result_ready` when there is a result. Their data is an `EventBody`, and their `id` is a number. A client that
/// reconnects with the last `id` in `Last-Event-ID` continues with the next event, without gaps or repeats. SSE
/// comments are heartbeats.
#[utoipa::path(
    get,
    path = "/api/user/events/{id}",
    tag = "submissions",
    responses(
        (status = 200, description = "The stream. It ends with the last event of the submission, or within two \
            seconds after the session that opened it ends.",
            content_type = "text/event-stream", body = String),
        (status = 204, description = "The submission is in a final state, and all events were received. Do not \
            reconnect."),
    ),
)]
pub(crate) async fn follow_submission(
    access: SubmissionAccess,
    State(state): State<AppState>,
    last: LastEventId,
) -> ApiResult<Response> {
    let watch = access.watch(&state);
    let submission = access.submission;
    let id = submission.id;
    let newest = submission.last_event;
    let after = last.up_to(newest.into()).map_or(0, |id| id.try_into().unwrap_or(newest));
    if submission.status.is_final() {
        let (rest, _) = until_terminal_event(state.app.store.events(id, after).await?);
        if rest.is_empty() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    let stream = submission_events(FollowSubmission {
        store: state.app.store.clone(),
        hub: state.hub.clone(),
        submission: id,
        after,
        heartbeat: state.app.settings.events_heartbeat,
        watch,
    });
    Ok((STREAM_HEADERS, Sse::new(stream)).into_response())
}
