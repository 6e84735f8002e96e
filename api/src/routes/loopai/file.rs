//! `GET /api/files/{id}`: an image, for LoopAI, by a signed link that the worker made.

use crate::app::AppState;
use crate::auth::audit::{refuse, with_file};
use crate::auth::caller::anonymous_entry;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::client_info::ClientInfo;
use crate::extract::path_id::PathId;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use bytes::Bytes;
use chrono::Utc;
use diagflow_store::{Action, FileId};
use serde::Deserialize;
use utoipa::IntoParams;

/// What makes a link valid.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SignedLink {
    /// Until when it is valid: seconds since 1970 (UTC).
    expires: u64,
    /// HMAC-SHA256 of file and time, in hexadecimal.
    signature: String,
}

/// Reads an image by a signed link.
///
/// Only made when LoopAI fetches images by itself (`LOOPAI_IMAGES=url`).
#[utoipa::path(
    get,
    path = "/api/files/{id}",
    tag = "loopai",
    params(("id" = String, Path, description = "The file.", format = "uuid"), SignedLink),
    responses(
        (status = 200, description = "The image, as it was sent.", content_type = "image/*"),
        (status = 404, description = "`not_found`: no such file, its submission was deleted, or the link is wrong or expired", body = ErrorBody),
        (status = 503, description = "`unavailable`, `timeout`: repeat after `Retry-After`", body = ErrorBody),
    ),
)]
pub(crate) async fn file(
    PathId(id): PathId<FileId>,
    link: Result<Query<SignedLink>, QueryRejection>,
    State(state): State<AppState>,
    client: ClientInfo,
) -> ApiResult<([(HeaderName, String); 3], Bytes)> {
    let Ok(Query(link)) = link else { return Err(ApiError::NotFound) };
    let is_expired = u64::try_from(Utc::now().timestamp()).is_ok_and(|now| now > link.expires);
    if is_expired || !state.keys.links.is_signed(id, link.expires, &link.signature) {
        let entry = anonymous_entry(&state, &client, "", Action::FileView);
        let entry = with_file(&state, id, entry).await;
        return Err(refuse(&state, &client, entry, ApiError::NotFound).await);
    }
    let file = state.app.store.file(id).await?.ok_or(ApiError::NotFound)?;
    let submission = state.app.store.submission(file.submission_id).await?;
    if submission.is_none_or(|submission| submission.deleted_at.is_some()) {
        return Err(ApiError::NotFound);
    }
    let bytes = state.app.bytes.get(file.sha256).await?;
    let headers = [
        (CONTENT_TYPE, file.media_type),
        (CACHE_CONTROL, "private, no-store".to_owned()),
        (CONTENT_DISPOSITION, "attachment".to_owned()),
    ];
    Ok((headers, bytes))
}
