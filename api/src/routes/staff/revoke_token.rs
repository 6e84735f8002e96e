use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::extract::reason::Reason;
use axum::Json;
use axum::extract::State;
use diagflow_store::{Action, RevokeTokenOutcome, SubmissionId};
use serde::Serialize;
use utoipa::ToSchema;

/// The result of a revocation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevokeTokenResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Whether this request revoked the token. `false` if it had already been revoked.
    changed: bool,
}

/// Revoke the access token of a submission
///
/// The patient, and everybody who has used a link from an e-mail, can no longer read, follow, cancel or erase the
/// submission. Links in e-mails stop working, and open event streams end. The patient still
/// receives the result by e-mail, and staff can cancel the submission for the patient. There is no new token, because it
/// would let its holder read medical data. Accounts that can read the submission are not affected. A revocation cannot
/// be undone. Repeating the request has no further effect.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/revoke-token",
    tag = "staff",
    responses((status = 200, description = "The token has been revoked.", body = RevokeTokenResponse)),
)]
pub(crate) async fn revoke_submission_token(
    PathId(id): PathId<SubmissionId>,
    State(state): State<AppState>,
    caller: Caller,
    reason: Reason,
) -> ApiResult<Json<RevokeTokenResponse>> {
    let entry = reason.audit_entry(&caller, Action::SubmissionTokenRevoke, id);
    let changed = match state.app.store.revoke_token(id, &entry).await? {
        RevokeTokenOutcome::Revoked => true,
        RevokeTokenOutcome::Unchanged => false,
        RevokeTokenOutcome::NotFound => {
            return Err(refuse(&state, entry, ApiError::NotFound).await);
        }
    };
    Ok(Json(RevokeTokenResponse { success: true, changed }))
}
