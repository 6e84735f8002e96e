use crate::app::AppState;
use crate::error::ApiResult;
use crate::extract::submission_access::{CancelAction, PatientAccess};
use crate::routes::cancellation::{CancelErrors, Cancellation, cancel};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::SubmissionId;
use serde::Serialize;
use utoipa::ToSchema;

/// Cancel your submission
///
/// Requires the submission's access token. The submission must not be in a final state. The patient is notified by
/// e-mail. If the diagnosis has already started, it is cancelled as soon as possible, and the status then changes to
/// `cancelled`. Repeating the request has no further effect.
#[utoipa::path(
    post,
    path = "/api/user/cancel/{id}",
    tag = "submissions",
    responses(
        (status = 202, description = "The submission has been cancelled or is being cancelled.", body = CancelBody),
        CancelErrors,
    ),
)]
pub(crate) async fn cancel_own_submission(
    State(state): State<AppState>,
    access: PatientAccess<CancelAction>,
) -> ApiResult<(StatusCode, Json<CancelBody>)> {
    let submission_id = access.submission;
    let entry = access.audit_entry(&state);
    let (outcome, message) = match cancel(&state, submission_id, entry).await? {
        Cancellation::Requested(_) => {
            (CancellationOutcome::Cancelling, "Your submission is being cancelled.")
        }
        Cancellation::Done => (CancellationOutcome::Cancelled, "Your submission was cancelled."),
    };
    let body = CancelBody { success: true, submission_id, outcome, message };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

/// Outcome of a request to cancel a submission. `cancelling`: the run is being cancelled.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CancellationOutcome {
    Cancelling,
    Cancelled,
}

/// Response to a cancellation request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CancelBody {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Id of the submission.
    #[schema(value_type = String, format = "uuid")]
    submission_id: SubmissionId,
    /// Outcome of the request.
    outcome: CancellationOutcome,
    /// Message for the patient.
    #[schema(example = "Your submission is being cancelled.")]
    message: &'static str,
}
