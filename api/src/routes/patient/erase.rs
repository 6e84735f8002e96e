use crate::app::AppState;
use crate::error::ApiResult;
use crate::extract::body::Body;
use crate::extract::submission_access::{EraseAction, PatientAccess};
use crate::routes::erasure::{EraseErrors, EraseResponse, check_confirmation, erase};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

/// Reason in the receipt and in the audit log.
pub(crate) const REASON: &str = "requested by the patient";

/// Confirmation of an erasure by the patient.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EraseOwnRequest {
    /// Id of the submission, repeated to confirm the erasure.
    #[schema(value_type = String, format = "uuid", example = "3f1f6b0e-6f0e-4f7b-9d53-0f1f6f3c2a11")]
    confirm: Option<String>,
}

/// Erase your submission
///
/// Requires the submission's access token. Permanently removes the e-mail address, the comments, the photos and the
/// result. An open run is cancelled, and unsent e-mails are not sent. Repeating the request has no further effect and
/// returns the same receipt.
#[utoipa::path(
    post,
    path = "/api/user/erase/{id}",
    tag = "submissions",
    responses(
        (status = 200, description = "The submission has been erased.", body = EraseResponse),
        EraseErrors,
    ),
)]
pub(crate) async fn erase_own_submission(
    State(state): State<AppState>,
    access: PatientAccess<EraseAction>,
    Body(request): Body<EraseOwnRequest>,
) -> ApiResult<Json<EraseResponse>> {
    let id = access.submission;
    check_confirmation(request.confirm.as_deref(), id)?;
    let entry = access.audit_entry(&state);
    Ok(Json(erase(&state, id, REASON, entry).await?))
}
