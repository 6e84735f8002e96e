use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::ApiResult;
use crate::extract::path_id::PathId;
use crate::routes::staff::detail::find_visible;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use diagflow_store::{Action, File, ObjectKind, Submission, SubmissionId};
use serde::Serialize;
use utoipa::ToSchema;

/// The personal data that pages mask.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevealBody {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// E-mail address of the patient. `null` if the submission was erased.
    #[schema(required, example = "ana@example.org")]
    email: Option<String>,
    /// E-mail address the patient originally entered, if staff have since corrected it; otherwise `null`.
    #[schema(required)]
    original_email: Option<String>,
    /// Comments from the patient. Present only for callers with `clinical:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    comments: Option<String>,
    /// File names on the patient's device, in upload order. Present only for callers with `clinical:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_names: Option<Vec<String>>,
}

/// Reveal the personal data of a submission
///
/// Returns the personal data that pages for staff mask. Each request is recorded in the audit log as
/// `submission_reveal`.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/{id}/reveal",
    tag = "staff",
    responses((status = 200, description = "The personal data.", body = RevealBody)),
)]
pub(crate) async fn reveal_submission(
    PathId(id): PathId<SubmissionId>,
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<RevealBody>)> {
    let store = &state.app.store;
    let clinical = caller.has_permission(Permission::ClinicalRead);
    let entry = caller.audit_entry(Action::SubmissionReveal, ObjectKind::Submission, id);
    let submission = find_visible(&state, &caller, id, &entry).await?;
    let files = if clinical { Some(store.files(id).await?) } else { None };
    store.append_audit_entry(&entry.with("clinical", clinical)).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(RevealBody::new(submission, files))))
}

impl RevealBody {
    /// `files` is `None` if the caller may not read medical information.
    fn new(submission: Submission, files: Option<Vec<File>>) -> Self {
        let Submission { email, original_email, comments, erased_at, .. } = submission;
        Self {
            success: true,
            email: erased_at.is_none().then(|| email.to_string()),
            original_email: original_email.map(|email| email.to_string()),
            comments: files.is_some().then_some(comments),
            file_names: files.map(|files| files.into_iter().map(|file| file.name).collect()),
        }
    }
}
