//! `GET /api/admin/files/{id}`: an image, for staff.

use crate::app::AppState;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::named::Named;
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
    operation_id = "read_file",
    params(("id" = String, Path, description = "The file.", format = "uuid")),
    responses(
        (status = 200, description = "The image, as it was sent.", content_type = "image/*"),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn file(
    Named(id): Named<FileId>,
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<([(HeaderName, String); 4], Bytes)> {
    let file = state.app.store.file(id).await?.ok_or(ApiError::NotFound)?;
    let line = caller.did(Action::FileView, ObjectKind::File, id);
    let line = line.with("submission", file.submission_id.to_string());
    state.app.store.audit(&line).await?;
    let bytes = state.app.bytes.get(file.sha256).await?;
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
