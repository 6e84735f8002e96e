use crate::error::ApiResult;
use crate::extract::if_none_match::{IfNoneMatch, entity_tag};
use crate::extract::submission_access::SubmissionAccess;
use crate::extract::time_format::rfc3339;
use crate::openapi::diagnosis_result::DiagnosisResult;
use crate::openapi::names::{EmailStatus, SubmissionErrorCode, SubmissionStatus, SubmissionStep};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum_extra::headers::HeaderMapExt;
use diagflow_store::{
    Delivery, Event, FailureCode, Status, Step, Store, Submission, SubmissionId, end_message,
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
    State(store): State<Store>,
) -> ApiResult<Response> {
    let is_clinical = access.is_clinical();
    let submission = access.submission;
    let (id, is_final) = (submission.id, submission.status.is_final());
    let latest = store.events(id, submission.last_event - 1).await?.into_iter().next();
    let result = match submission.status {
        Status::Completed if is_clinical => store.result(id).await?,
        _ => None,
    };
    let deliveries = store.deliveries(id).await?;
    let body = StatusBody {
        result: result.map(|result| result.object().clone()),
        email_status: deliveries.last().map(|delivery| delivery.status.into()),
        ..StatusBody::of(submission, latest, &deliveries)
    };
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
    success: bool,
    /// Id of the submission.
    #[schema(value_type = String, format = "uuid")]
    submission_id: SubmissionId,
    /// Status of the submission.
    status: SubmissionStatus,
    /// Message of the latest event, for the patient.
    message: String,
    /// Machine-readable name of the latest event.
    #[schema(required)]
    step: Option<SubmissionStep>,
    /// Time of receipt.
    #[schema(format = "date-time")]
    created_at: String,
    /// Time of the last change.
    #[schema(format = "date-time")]
    updated_at: String,
    /// Time at which the submission reached its final state.
    #[schema(required, format = "date-time")]
    finished_at: Option<String>,
    /// Result of a *completed* submission, if the caller may read medical data.
    #[schema(required, value_type = Option<DiagnosisResult>)]
    result: Option<Map<String, Value>>,
    /// Reason the submission ended without a result; otherwise `null`.
    #[schema(required)]
    error: Option<StatusError>,
    /// Status of the latest e-mail.
    #[schema(required)]
    email_status: Option<EmailStatus>,
}

/// Reason a submission ended without a result.
#[derive(Debug, Serialize, ToSchema)]
struct StatusError {
    /// Stable error code.
    #[schema(value_type = SubmissionErrorCode)]
    code: String,
    /// Message for the patient.
    message: &'static str,
}

impl StatusBody {
    fn of(submission: Submission, latest: Option<Event>, deliveries: &[Delivery]) -> Self {
        Self {
            success: true,
            submission_id: submission.id,
            status: submission.status.into(),
            step: latest.as_ref().map(|event| event.step.into()),
            message: latest.map(|event| message(event, deliveries)).unwrap_or_default(),
            created_at: rfc3339(submission.created_at),
            updated_at: rfc3339(submission.updated_at),
            finished_at: submission.finished_at.map(rfc3339),
            error: StatusError::of(submission.status, submission.error_code),
            result: None,
            email_status: None,
        }
    }
}

/// Returns the message of an event. As in the event stream, the message of `result_ready` depends on the status of the
/// e-mail.
fn message(event: Event, deliveries: &[Delivery]) -> String {
    match event.step {
        Step::ResultReady => result_message(result_email_status(deliveries)).to_owned(),
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
