use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::extract::body::Body;
use crate::extract::path_id::PathId;
use crate::extract::reason::Reason;
use crate::openapi::error_responses::errors;
use crate::routes::erasure::{EraseErrors, EraseResponse, check_confirmation, erase};
use axum::Json;
use axum::extract::State;
use diagflow_store::{Action, ObjectKind, SubmissionId};
use serde::Deserialize;
use utoipa::ToSchema;

/// Confirmation of an erasure.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EraseRequest {
    /// Reason, 1 to 500 characters. The reason is stored in the audit log and in the receipt, so do not include the
    /// patient's personal data.
    #[schema(value_type = String, example = "The patient asked for it", min_length = 1, max_length = 500)]
    reason: Option<String>,
    /// Id of the submission, repeated to confirm the erasure.
    #[schema(value_type = String, format = "uuid", example = "3f1f6b0e-6f0e-4f7b-9d53-0f1f6f3c2a11")]
    confirm: Option<String>,
}

errors!(EraseSubmissionErrors: ReasonRequired);

/// Erase a submission
///
/// Permanently removes the submission's addresses, comments, notes, results, error texts and files, even if a backup is
/// restored later. An open run is cancelled, and unsent e-mails are not sent. The id, states, times, consent version
/// and audit entries remain. Repeating the request has no further effect and returns the same receipt.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/erase",
    tag = "staff",
    responses(
        (status = 200, description = "The submission has been erased.", body = EraseResponse),
        EraseSubmissionErrors,
        EraseErrors,
    ),
)]
pub(crate) async fn erase_submission(
    PathId(id): PathId<SubmissionId>,
    State(state): State<AppState>,
    caller: Caller,
    Body(request): Body<EraseRequest>,
) -> ApiResult<Json<EraseResponse>> {
    let Reason(reason) = Reason::parse(request.reason)?;
    check_confirmation(request.confirm.as_deref(), id)?;
    let entry = caller.audit_entry(Action::SubmissionErase, ObjectKind::Submission, id);
    Ok(Json(erase(&state, id, &reason, entry).await?))
}
