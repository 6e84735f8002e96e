//! `GET /api/admin/files/{id}`: an image, for staff.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::routes::refused;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
};
use bytes::Bytes;
use diagflow_store::{Action, FileId, ObjectKind};

/// Where staff read a file.
pub(super) fn path(file: FileId) -> String {
    format!("/api/admin/files/{file}")
}

/// Reads an image, as it was sent.
#[utoipa::path(
    get,
    path = "/api/admin/files/{id}",
    tag = "staff",
    params(("id" = String, Path, description = "The file.", format = "uuid")),
    responses(
        (status = 200, description = "The image, as it was sent.", content_type = "image/*"),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn read_file(
    PathId(id): PathId<FileId>,
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<([(HeaderName, String); 4], Bytes)> {
    let Some(file) = state.app.store.file(id).await? else {
        let entry = caller.audit_entry(Action::FileView, ObjectKind::File, id);
        return refused(&state, entry, ApiError::NotFound).await;
    };
    // Of the submission, so that who was shown a patient's images is found by that.
    let entry = caller.audit_entry(Action::FileView, ObjectKind::Submission, file.submission_id);
    let entry = entry.with("file", id.to_string());
    let bytes = match state.app.bytes.get(file.sha256).await {
        Ok(bytes) => bytes,
        Err(trouble) => return refused(&state, entry, trouble.into()).await,
    };
    state.app.store.append_audit_entry(&entry).await?;
    // Shown in the page, under a name of ours; whatever is in it, a browser runs nothing of it.
    let ending = file.media_type.rsplit('/').next().unwrap_or_default();
    let headers = [
        (CONTENT_DISPOSITION, format!("inline; filename=\"{id}.{ending}\"")),
        (CONTENT_TYPE, file.media_type),
        (CACHE_CONTROL, "no-store".to_owned()),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
    ];
    Ok((headers, bytes))
}
