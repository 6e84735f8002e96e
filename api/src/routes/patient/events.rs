use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::events::submission_events::{
    FollowSubmission, Position, Start, find_start, submission_events,
};
use crate::events::wire;
use crate::extract::last_event_id::LastEventId;
use crate::extract::stream_client::StreamClient;
use crate::extract::submission_access::FollowAccess;
use crate::openapi::streams::SubmissionEvent;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Follow a submission
///
/// Returns server-sent events until the submission reaches a final state. The event that contains the result is named
/// `result_ready`, and all other events are named `status_update`. Each event's `id` is a number, and its `data` is a
/// `StatusUpdateEvent` or `ResultReadyEvent` encoded as JSON. A client that reconnects with the last `id` in
/// `Last-Event-ID` resumes with the next event, without gaps or repeats.
///
/// Once the result has been stored, the `result_ready` event is delayed by up to a few seconds, until the outcome of
/// the result e-mail is known. The event's `message` and `email_status` show the status of the e-mail. If
/// `email_status` is `planned` or `sending`, request the submission's status again later.
///
/// Between events, comment lines are sent as heartbeats. While the database is unavailable, the stream stays open, but
/// only heartbeats are sent.
///
/// If staff revoke the access token that opened the stream, no further event is sent, and the stream ends at the next
/// event or heartbeat.
///
/// A client that opens too many streams or sends too many requests receives an empty stream with status 200 if its
/// `Accept` header contains `text/event-stream`, which is always the case for an `EventSource`. The empty stream ends
/// immediately, and its `retry` field specifies when the client can open another one. Other clients receive a 429
/// response.
#[utoipa::path(
    get,
    path = "/api/user/events/{id}",
    tag = "submissions",
    responses(
        (status = 200, description = "The event stream. It ends after the submission's last event, or within two \
            seconds after the end of the session that opened the stream.",
            content_type = "text/event-stream", body = SubmissionEvent),
        (status = 204, description = "The submission is in a final state, and the client has received all events. Do \
            not reconnect."),
    ),
)]
pub(crate) async fn follow_submission(
    access: FollowAccess,
    client: StreamClient,
    State(state): State<AppState>,
    last: LastEventId,
) -> ApiResult<Response> {
    let FollowAccess { submission, access, by_token, deadline } = access;
    let store = state.app.store.clone();
    let position = if access.is_pending() {
        Position::Unknown(last)
    } else {
        let start = find_start(store.clone(), submission, by_token, last);
        match tokio::time::timeout_at(deadline, start).await {
            Ok(Ok(Start::After(after))) => Position::After(after),
            Ok(Ok(Start::AllReceived)) => return Ok(StatusCode::NO_CONTENT.into_response()),
            Ok(Ok(Start::NotFound)) => return Err(ApiError::NotFound),
            Ok(Ok(Start::Erased)) => return Err(ApiError::Erased),
            Ok(Err(error)) if !error.is_database_outage() => return Err(error),
            // The stream opens despite a temporary failure, because an `EventSource` never reconnects after an error
            // response.
            Ok(Err(_)) | Err(_) => Position::Unknown(last),
        }
    };
    let settings = &state.app.settings;
    let stream = submission_events(FollowSubmission {
        store,
        hub: state.hub.clone(),
        submission,
        by_token,
        position,
        heartbeat: settings.events_heartbeat,
        email_wait: settings.events_email_wait,
    });
    Ok(wire::response(&state, &client, stream, access))
}
