//! `GET /api/user/events/{id}`: follows a submission live.

use crate::app::AppState;
use crate::error::ApiResult;
use crate::error::response::ErrorBody;
use crate::events::submission_events::{FollowSubmission, follow_submission, until_terminal_event};
use crate::extract::submission_access::SubmissionAccess;
use crate::header_names::LAST_EVENT_ID;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::Sse;
use axum::response::{IntoResponse, Response};

/// Keeps proxies from changing or collecting what must flow.
pub(crate) const STREAM_HEADERS: [(HeaderName, &str); 2] = [
    (CACHE_CONTROL, "no-cache, no-transform"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// Follows a submission live, as server-sent events, to its end.
///
/// Events named `status_update`, and at a good end `result_ready`, each with the data described as
/// `EventBody`. An event's `id` is its number; a listener that comes back with it in `Last-Event-ID`
/// goes on with the next one, without gap or repeat. Comments are heartbeats.
#[utoipa::path(
    get,
    path = "/api/user/events/{id}",
    tag = "submissions",
    params(
        ("id" = String, Path, description = "The `submission_id`.", format = "uuid"),
        ("Last-Event-ID" = Option<String>, Header,
            description = "Number of the last event that was received. One that was never given \
                out counts as none."),
    ),
    security(
        ("bearer" = []),
        ("cookie" = []),
        ("session" = ["submissions:read", "submissions:read_own"]),
        ("session_cookie" = ["submissions:read", "submissions:read_own"]),
    ),
    responses(
        (status = 200, description = "The stream; it ends after the event that ends the story, and \
            within two seconds of the end of the session that opened it.",
            content_type = "text/event-stream", body = String),
        (status = 204, description = "It has ended, and all of it was received: do not come back."),
        (status = 401, description = "`token_required`", body = ErrorBody),
        (status = 404, description = "`not_found`: no such submission, or what was brought does not open it", body = ErrorBody),
        (status = 503, description = "`unavailable`, `timeout`: repeat after `Retry-After`", body = ErrorBody),
    ),
)]
pub(crate) async fn events(
    access: SubmissionAccess,
    State(state): State<AppState>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let watch = access.watch(&state);
    let submission = access.submission;
    let id = submission.id;
    let after = last_event(&headers, submission.last_event);
    if submission.status.is_final() {
        let (rest, _) = until_terminal_event(state.app.store.events(id, after).await?);
        if rest.is_empty() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    let stream = follow_submission(FollowSubmission {
        store: state.app.store.clone(),
        hub: state.hub.clone(),
        submission: id,
        after,
        heartbeat: state.app.settings.events_heartbeat,
        watch,
    });
    Ok((STREAM_HEADERS, Sse::new(stream)).into_response())
}

/// The number after which the listener goes on: from the beginning, unless it names one that was
/// given out.
fn last_event(headers: &HeaderMap, newest: i32) -> i32 {
    headers
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse().ok())
        .filter(|number| (0..=newest).contains(number))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn an_invalid_last_event_id_starts_from_the_beginning() {
        let after = |text: &str| {
            let value = HeaderValue::from_str(text).expect("a header's value");
            last_event(&HeaderMap::from_iter([(LAST_EVENT_ID, value)]), 5)
        };
        assert_eq!(last_event(&HeaderMap::new(), 5), 0);
        assert_eq!((after("1"), after(" 3 "), after("5")), (1, 3, 5));
        for absurd in ["6", "-1", "99999999999999999999", "abc", "", "1.5", "0x2", "1 2"] {
            assert_eq!(after(absurd), 0, "{absurd:?}");
        }
    }
}
