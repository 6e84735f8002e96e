use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::openapi::files::FileBytes;
use crate::routes::image::{ImageResponse, image_response};
use axum::extract::State;
use diagflow_store::{Action, FileId, ObjectKind};

pub(super) fn path(file: FileId) -> String {
    format!("/api/admin/files/{file}")
}

/// Get an image
///
/// Returns the image as uploaded.
#[utoipa::path(
    get,
    path = "/api/admin/files/{id}",
    tag = "staff",
    responses(
        (status = 200, description = "The image.", content(
            (inline(FileBytes) = "image/jpeg"),
            (inline(FileBytes) = "image/png"),
            (inline(FileBytes) = "image/webp"),
        )),
    ),
)]
pub(crate) async fn read_file(
    PathId(id): PathId<FileId>,
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<ImageResponse> {
    let Some(file) = state.app.store.file(id).await? else {
        let entry = caller.audit_entry(Action::FileView, ObjectKind::File, id);
        return Err(refuse(&state, entry, ApiError::NotFound).await);
    };
    // The entry's object is the submission, so the submission's audit entries show who viewed its images.
    let entry = caller.audit_entry(Action::FileView, ObjectKind::Submission, file.submission_id);
    let entry = entry.with("file", id.to_string());
    let submission = state.app.store.submission(file.submission_id).await?;
    if !submission.is_some_and(|submission| caller.may_see(&submission)) {
        return Err(refuse(&state, entry, ApiError::NotFound).await);
    }
    let bytes = match state.app.bytes.get(file.sha256).await {
        Ok(bytes) => bytes,
        Err(error) => return Err(refuse(&state, entry, error.into()).await),
    };
    state.app.store.append_audit_entry(&entry).await?;
    Ok(image_response(file, bytes))
}
