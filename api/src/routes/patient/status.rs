use crate::app::AppState;
use crate::error::ApiResult;
use crate::extract::if_none_match::{IfNoneMatch, entity_tag};
use crate::extract::submission_access::SubmissionAccess;
use crate::extract::time_format::rfc3339;
use crate::openapi::diagnosis_result::DiagnosisResult;
use crate::openapi::names::{EmailStatus, SubmissionErrorCode, SubmissionStatus, SubmissionStep};
use crate::routes::patient::expectations::WaitingReason;
use crate::routes::patient::submission_state::SubmissionState;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum_extra::headers::HeaderMapExt;
use diagflow_store::{
    Delivery, Event, FailureCode, PAUSED_MESSAGE, Status, Step, SubmissionId, end_message,
    result_email_status, result_message,
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Number of seconds after which a polling client should request the status again.
const POLL_INTERVAL: u64 = 5;

/// Get the status of a submission
///
/// The response includes the result once the submission is *completed*. To wait for a final state without an event
/// stream, poll at the interval specified by `Retry-After`, sending the last `ETag` as `If-None-Match`. In a final
/// state, `email_status` shows whether the e-mail has been sent. While `email_status` is `planned` or `sending`, poll
/// again from time to time.
#[utoipa::path(
    get,
    path = "/api/user/status/{id}",
    tag = "submissions",
    responses(
        (status = 200, description = "The status.", body = StatusBody, headers(
            ("ETag" = String, description = "Entity tag of this response, for `If-None-Match`."),
            ("Retry-After" = Option<u64>, description = "Number of seconds to wait before repeating the request. \
                Absent in a final state."),
        )),
        (status = 304, description = "The status has not changed since the response with this `ETag`."),
    ),
)]
pub(crate) async fn read_submission_status(
    access: SubmissionAccess,
    if_none_match: IfNoneMatch,
    State(state): State<AppState>,
) -> ApiResult<Response> {
    let is_final = access.submission.status.is_final();
    let body = StatusBody::read(&state, access).await?;
    let body = serde_json::to_vec(&body).expect("the status is valid JSON");
    Ok(response(body, is_final, &if_none_match))
}

fn response(body: Vec<u8>, is_final: bool, if_none_match: &IfNoneMatch) -> Response {
    let tag = entity_tag(&body);
    let is_current = if_none_match.matches(&tag);
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.typed_insert(tag);
    if !is_final {
        headers.insert(RETRY_AFTER, POLL_INTERVAL.into());
    }
    if is_current {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (headers, body).into_response()
}

/// Status of a submission.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusBody {
    /// Always `true`.
    #[schema(example = true)]
    pub(crate) success: bool,
    /// Id of the submission.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) submission_id: SubmissionId,
    /// Status of the submission.
    pub(crate) status: SubmissionStatus,
    /// Message of the latest event, for the patient.
    pub(crate) message: String,
    /// Machine-readable name of the latest event.
    #[schema(required)]
    pub(crate) step: Option<SubmissionStep>,
    /// Time of receipt.
    #[schema(format = "date-time")]
    pub(crate) created_at: String,
    /// Time of the last change.
    #[schema(format = "date-time")]
    pub(crate) updated_at: String,
    /// Time at which the submission reached its final state.
    #[schema(required, format = "date-time")]
    pub(crate) finished_at: Option<String>,
    /// Result of a *completed* submission, if the caller may read medical data.
    #[schema(required, value_type = Option<DiagnosisResult>)]
    pub(crate) result: Option<Map<String, Value>>,
    /// Reason the submission ended without a result; otherwise `null`.
    #[schema(required)]
    pub(crate) error: Option<StatusError>,
    /// Status of the latest e-mail about the submission. E-mails with a new link do not count.
    #[schema(required)]
    pub(crate) email_status: Option<EmailStatus>,
    /// Reason the submission is waiting; `null` if it is not waiting.
    #[schema(required)]
    pub(crate) waiting_reason: Option<WaitingReason>,
    /// Place of a waiting submission in the queue for LoopAI, starting at 1. The place changes without an event.
    #[schema(required, minimum = 1)]
    pub(crate) queue_position: Option<i64>,
    /// Number of seconds within which at least half of the recent submissions were completed, rounded up. `null` in a
    /// final state, or if there are too few recent submissions.
    #[schema(required)]
    pub(crate) usually_seconds: Option<u64>,
    /// Time at which the submission times out if there is no result by then. `null` in a final state, and until
    /// processing has started. If a worker was down or requests to LoopAI are paused, the submission may time out later.
    #[schema(required, format = "date-time")]
    pub(crate) deadline_at: Option<String>,
}

/// Reason a submission ended without a result.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusError {
    /// Stable error code.
    #[schema(value_type = SubmissionErrorCode)]
    pub(crate) code: String,
    /// Message for the patient.
    pub(crate) message: &'static str,
}

impl StatusBody {
    /// Reads the status of a submission. The result is included only if the caller may read medical data.
    pub(crate) async fn read(state: &AppState, access: SubmissionAccess) -> ApiResult<Self> {
        Ok(Self::of(SubmissionState::read(state, access).await?))
    }

    fn of(state: SubmissionState) -> Self {
        let email_status = state.email_status();
        let SubmissionState { submission, latest, deliveries, expectations, result } = state;
        let reason = expectations.waiting_reason;
        Self {
            success: true,
            submission_id: submission.id,
            status: submission.status.into(),
            step: latest.as_ref().map(|event| event.step.into()),
            message: latest.map(|event| message(event, &deliveries, reason)).unwrap_or_default(),
            created_at: rfc3339(submission.created_at),
            updated_at: rfc3339(submission.updated_at),
            finished_at: submission.finished_at.map(rfc3339),
            error: StatusError::of(submission.status, submission.error_code),
            result: result.map(|result| result.object().clone()),
            email_status: email_status.map(EmailStatus::from),
            waiting_reason: reason,
            queue_position: expectations.queue_position,
            usually_seconds: expectations.usually_seconds,
            deadline_at: expectations.deadline_at.map(rfc3339),
        }
    }
}

/// Returns the message of an event. As in the event stream, the message of `result_ready` depends on the status of the
/// e-mail. The message of `waiting` depends on why the submission is waiting now.
fn message(event: Event, deliveries: &[Delivery], reason: Option<WaitingReason>) -> String {
    match (event.step, reason) {
        (Step::ResultReady, _) => result_message(result_email_status(deliveries)).to_owned(),
        (Step::Waiting, Some(WaitingReason::Paused)) => PAUSED_MESSAGE.to_owned(),
        _ => event.message,
    }
}

impl StatusError {
    fn of(status: Status, code: Option<String>) -> Option<Self> {
        let message = end_message(status)?;
        let default = match status {
            Status::TimedOut => FailureCode::DeadlineExceeded,
            Status::Cancelled => FailureCode::Cancelled,
            _ => FailureCode::RunOrphaned,
        };
        Some(Self { code: code.unwrap_or_else(|| default.to_string()), message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::FromRequestParts;
    use axum::http::Request;
    use axum::http::header::{ETAG, IF_NONE_MATCH};

    async fn respond(body: &str, is_final: bool, tag: &str) -> Response {
        let request = Request::builder().header(IF_NONE_MATCH, tag).body(()).expect("a request");
        let Ok(header) = IfNoneMatch::from_request_parts(&mut request.into_parts().0, &()).await;
        response(body.into(), is_final, &header)
    }

    #[tokio::test]
    async fn an_unchanged_status_is_not_sent_again() {
        let first = respond("{}", false, "").await;
        let tag = first.headers()[ETAG].to_str().expect("text").to_owned();
        assert_eq!(first.status(), StatusCode::OK);

        let same = respond("{}", false, &tag).await;

        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(same.headers()[ETAG], tag);
        assert_eq!(same.headers()[CACHE_CONTROL], "no-store");
        let body = axum::body::to_bytes(same.into_body(), usize::MAX).await.expect("a body");
        assert!(body.is_empty());
        assert_eq!(respond("{\"a\":1}", false, &tag).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn retry_after_is_sent_until_the_status_is_final() {
        let tag = respond("{}", false, "").await.headers()[ETAG].to_str().expect("text").to_owned();
        for tag in ["", &tag] {
            assert_eq!(respond("{}", false, tag).await.headers()[RETRY_AFTER], "5", "{tag:?}");
            assert!(!respond("{}", true, tag).await.headers().contains_key(RETRY_AFTER));
        }
    }
}
