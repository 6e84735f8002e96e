use crate::app::AppState;
use crate::auth::audit::{refuse_unauthenticated, with_file};
use crate::auth::caller::anonymous_entry;
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::client_info::ClientInfo;
use crate::extract::path_id::PathId;
use crate::openapi::files::FileBytes;
use crate::openapi::route::{Documented, RouteDocument};
use axum::extract::{FromRequestParts, Query, State};
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::request::Parts;
use bytes::Bytes;
use chrono::Utc;
use diagflow_store::{Action, FileId};
use serde::Deserialize;
use utoipa::IntoParams;

/// A link's expiry time and signature. A request without them fails with `not_found`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SignedLink {
    /// Expiry time of the link, as a Unix timestamp in seconds.
    expires: u64,
    /// Hexadecimal HMAC-SHA256 of `{id}:{expires}`.
    signature: String,
}

impl<S: Send + Sync> FromRequestParts<S> for SignedLink {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let link = Query::<Self>::from_request_parts(parts, state).await;
        link.map(|Query(link)| link).map_err(|_| ApiError::NotFound)
    }
}

impl Documented for SignedLink {
    fn document(route: &mut RouteDocument<'_>) {
        route.add_parameters(Self::into_params(|| None));
        route.add_errors(&[ErrorCode::NotFound]);
    }
}

/// Get an image with a signed link
///
/// The worker creates signed links if it is configured to let LoopAI download the images itself (`LOOPAI_IMAGES=url`).
#[utoipa::path(
    get,
    path = "/api/files/{id}",
    tag = "loopai",
    responses(
        (status = 200, description = "The image, without its metadata.", content(
            (inline(FileBytes) = "image/jpeg"),
            (inline(FileBytes) = "image/png"),
            (inline(FileBytes) = "image/webp"),
        )),
    ),
)]
pub(crate) async fn read_signed_file(
    PathId(id): PathId<FileId>,
    link: SignedLink,
    State(state): State<AppState>,
    client: ClientInfo,
) -> ApiResult<([(HeaderName, String); 3], Bytes)> {
    let is_expired = u64::try_from(Utc::now().timestamp()).is_ok_and(|now| now > link.expires);
    if is_expired || !state.keys.links.is_signed(id, link.expires, &link.signature) {
        let entry = anonymous_entry(&state, &client, "", Action::FileView);
        let entry = with_file(&state, id, entry).await;
        return Err(refuse_unauthenticated(&state, &client, entry, ApiError::NotFound).await);
    }
    let file = state.app.store.file(id).await?.ok_or(ApiError::NotFound)?;
    let submission = state.app.store.submission(file.submission_id).await?;
    if submission.is_none_or(|submission| submission.deleted_at.is_some()) {
        return Err(ApiError::NotFound);
    }
    let bytes = state.app.bytes.cleaned(&file).await?;
    let headers = [
        (CONTENT_TYPE, file.media_type),
        (CACHE_CONTROL, "private, no-store".to_owned()),
        (CONTENT_DISPOSITION, "attachment".to_owned()),
    ];
    Ok((headers, bytes))
}
