use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::events::submission_events::{
    FollowSubmission, Position, Start, find_start, submission_events,
};
use crate::events::wire;
use crate::extract::last_event_id::LastEventId;
use crate::extract::submission_access::FollowAccess;
use crate::openapi::streams::SubmissionEvent;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::time::Duration;

/// Time for which the response waits for the database. After that, the stream waits instead.
const START_TIMEOUT: Duration = Duration::from_secs(2);

/// Follow a submission
///
/// Returns server-sent events until the submission reaches a final state. Events are named `status_update`, or
/// `result_ready` when there is a result. Their `id` is a number, and their `data` is JSON: a `StatusUpdateEvent` or a
/// `ResultReadyEvent`. A client that reconnects with the last `id` in `Last-Event-ID` continues with the next event,
/// without gaps or repeats.
///
/// `result_ready` is sent when it is known whether the e-mail with the result was sent, but at most a few seconds after
/// the result. Its `message` and `email_status` show what is known. If `email_status` is `planned` or `sending`, read it
/// again later from the status document.
///
/// Between events, the stream has comment lines as heartbeats. If the database is unavailable, the stream is open and has
/// only heartbeats until the database is available again.
#[utoipa::path(
    get,
    path = "/api/user/events/{id}",
    tag = "submissions",
    responses(
        (status = 200, description = "The stream. It ends with the last event of the submission, or within two \
            seconds after the session that opened it ends.",
            content_type = "text/event-stream", body = SubmissionEvent),
        (status = 204, description = "The submission is in a final state, and all events were received. Do not \
            reconnect."),
    ),
)]
pub(crate) async fn follow_submission(
    access: FollowAccess,
    State(state): State<AppState>,
    last: LastEventId,
) -> ApiResult<Response> {
    let FollowAccess { submission, watch } = access;
    let store = state.app.store.clone();
    let start = find_start(store.clone(), submission, last);
    let position = match tokio::time::timeout(START_TIMEOUT, start).await {
        Ok(Ok(Start::After(after))) => Position::After(after),
        Ok(Ok(Start::AllReceived)) => return Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Ok(Start::NotFound)) => return Err(ApiError::NotFound),
        Ok(Err(error)) if !error.is_retryable() => return Err(error.into()),
        // An `EventSource` never reconnects after an error response.
        Ok(Err(_)) | Err(_) => Position::Unknown(last),
    };
    let settings = &state.app.settings;
    let stream = submission_events(FollowSubmission {
        store,
        hub: state.hub.clone(),
        submission,
        position,
        heartbeat: settings.events_heartbeat,
        email_wait: settings.events_email_wait,
    });
    Ok(wire::response(stream, settings.events_heartbeat, watch))
}
