use crate::error::ApiResult;
use crate::extract::submission_access::SubmissionAccess;
use crate::extract::time_format::rfc3339;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use diagflow_store::{Event, Status, Store, Submission, SubmissionId};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Get the status of a submission
///
/// Includes the result once the submission is *completed*.
#[utoipa::path(
    get,
    path = "/api/user/status/{id}",
    tag = "submissions",
    responses((status = 200, description = "The status.", body = StatusBody)),
)]
pub(crate) async fn read_submission_status(
    access: SubmissionAccess,
    State(store): State<Store>,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<StatusBody>)> {
    let is_clinical = access.is_clinical();
    let submission = access.submission;
    let id = submission.id;
    let latest = store.events(id, submission.last_event - 1).await?.into_iter().next();
    let result = match submission.status {
        Status::Completed if is_clinical => store.result(id).await?,
        _ => None,
    };
    let deliveries = store.deliveries(id).await?;
    let body = StatusBody {
        result: result.map(|result| result.object().clone()),
        email_status: deliveries.last().map(|delivery| delivery.status.to_string()),
        ..StatusBody::of(submission, latest)
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
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
    /// `pending`, `processing`, `completed`, `failed`, `timed_out` or `cancelled`.
    #[schema(example = "processing")]
    status: &'static str,
    /// Message of the last event, for the patient.
    message: String,
    /// Stable code of the last event.
    #[schema(example = "diagnosing")]
    step: Option<&'static str>,
    /// Time of receipt.
    #[schema(format = "date-time")]
    created_at: String,
    /// Time of the last change.
    #[schema(format = "date-time")]
    updated_at: String,
    /// Time at which the submission reached its final state.
    #[schema(format = "date-time")]
    finished_at: Option<String>,
    /// Result of a *completed* submission, if the caller may read medical data. Usual members: `summary`, `findings`,
    /// `recommendations`.
    #[schema(value_type = Option<Object>)]
    result: Option<Map<String, Value>>,
    /// Reason why there is no result, if the submission ended without one.
    error: Option<StatusError>,
    /// Status of the latest e-mail: `planned`, `sending`, `sent`, `unknown` or `failed`.
    #[schema(example = "sent")]
    email_status: Option<String>,
}

/// Reason why there is no result.
#[derive(Debug, Serialize, ToSchema)]
struct StatusError {
    /// Stable error code.
    #[schema(example = "timed_out")]
    code: String,
    /// Message for the patient.
    message: &'static str,
}

impl StatusBody {
    fn of(submission: Submission, latest: Option<Event>) -> Self {
        Self {
            success: true,
            submission_id: submission.id,
            status: submission.status.name(),
            step: latest.as_ref().map(|event| event.step.name()),
            message: latest.map(|event| event.message).unwrap_or_default(),
            created_at: rfc3339(submission.created_at),
            updated_at: rfc3339(submission.updated_at),
            finished_at: submission.finished_at.map(rfc3339),
            error: status_error(submission.status, submission.error_code),
            result: None,
            email_status: None,
        }
    }
}

fn status_error(status: Status, code: Option<String>) -> Option<StatusError> {
    let message = match status {
        Status::Pending | Status::Processing | Status::Completed => return None,
        Status::Failed => {
            "We could not complete your diagnosis. Please send your photos again, or see a doctor."
        }
        Status::TimedOut => {
            "Your diagnosis took too long, so we have stopped it. Please send your photos again later."
        }
        Status::Cancelled => "Your submission was cancelled.",
    };
    Some(StatusError { code: code.unwrap_or_else(|| status.name().to_owned()), message })
}
