//! Finds out who calls from what a request brings: an access token or an API key as Bearer, or a page's cookie.

use super::caller::{Brought, Caller, Via};
use super::cookies;
use super::jwt::BadToken;
use crate::app::AppState;
use crate::error::ApiError;
use crate::origin::Origin;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use diagflow_store::{ApiKeyId, SessionId, Sha256};

/// What every API key begins with, so that one that leaked is recognised.
pub(crate) const API_KEY_PREFIX: &str = "dfk_";

/// Who calls; nobody when the request brings nothing to be recognised by.
///
/// # Errors
/// When what it brings is no longer, or never was, good.
pub(crate) async fn authenticate(
    state: &AppState,
    method: &Method,
    headers: &HeaderMap,
    origin: Origin,
) -> Result<Option<Caller>, ApiError> {
    if let Some(token) = bearer(headers) {
        return match token.strip_prefix(API_KEY_PREFIX) {
            Some(key) => by_api_key(state, key, origin).await.map(Some),
            None => by_session(state, token, false, origin).await.map(|(caller, _)| Some(caller)),
        };
    }
    let Some(token) = cookies::access_token(&state.app.settings, headers) else { return Ok(None) };
    let (caller, session) = by_session(state, &token, true, origin).await?;
    if !state.csrf.allows(method, headers, session) {
        return Err(ApiError::CsrfTokenInvalid);
    }
    Ok(Some(caller))
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn by_session(
    state: &AppState,
    token: &str,
    by_cookie: bool,
    origin: Origin,
) -> Result<(Caller, SessionId), ApiError> {
    let claims = state.signer.check(token).map_err(|bad| match bad {
        BadToken::Expired => ApiError::TokenExpired,
        BadToken::Invalid => ApiError::TokenInvalid,
    })?;
    let user = state.app.store.use_session(claims.sid, state.app.settings.session_idle).await?;
    let user = user.filter(|user| user.id == claims.sub).ok_or(ApiError::SessionEnded)?;
    let via = Via::Session(claims.sid);
    let brought = Some(Brought { by_cookie, issued: claims.iat, expires: claims.exp });
    Ok((Caller { user, via, origin, brought, audit_key: state.audit_key.clone() }, claims.sid))
}

/// `key` is `{id}_{secret}`.
async fn by_api_key(state: &AppState, key: &str, origin: Origin) -> Result<Caller, ApiError> {
    let (id, secret) = key.split_once('_').ok_or(ApiError::ApiKeyInvalid)?;
    let id: ApiKeyId = id.parse().map_err(|_| ApiError::ApiKeyInvalid)?;
    let found = state.app.store.use_api_key(id, Sha256::of(secret.as_bytes())).await?;
    let user = found.ok_or(ApiError::ApiKeyInvalid)?;
    let (via, audit_key) = (Via::ApiKey(id), state.audit_key.clone());
    Ok(Caller { user, via, origin, brought: None, audit_key })
}
