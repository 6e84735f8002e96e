//! `GET /api/user/events/{id}`.

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
/// A stream of server-sent events until the submission ends. Events are named `status_update`, and `result_ready`
/// once there is a result; their data is an `EventBody`, and their `id` is a number. A client that reconnects with
/// the last `id` in `Last-Event-ID` continues with the next event, without gaps or repeats. Comments are heartbeats.
#[utoipa::path(
    get,
    path = "/api/user/events/{id}",
    tag = "submissions",
    responses(
        (status = 200, description = "The stream. It ends with the event that ends the submission, and within two \
            seconds of the end of the session that opened it.",
            content_type = "text/event-stream", body = String),
        (status = 204, description = "The submission has ended, and all events were received. Do not reconnect."),
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
