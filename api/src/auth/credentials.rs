//! Finds out who calls from what a request brings: an access token or an API key as Bearer, or a page's cookie.

use crate::app::AppState;
use crate::auth::caller::{Brought, Caller, Via};
use crate::auth::cookies;
use crate::auth::jwt::{BadToken, Claims};
use crate::error::ApiError;
use crate::extract::origin::Origin;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use diagflow_store::{Actor, ApiKeyId, KeyHolder, SessionId, Sha256, StoreError};

/// What every API key begins with, so that one that leaked is recognised.
pub(crate) const API_KEY_PREFIX: &str = "dfk_";

/// Why somebody is not let in.
pub(crate) struct NotLetIn {
    /// What they are told.
    pub(crate) refusal: ApiError,
    /// Who it is and by which session or key, where what was brought proves that all the same. For the audit.
    pub(crate) known: Option<(Actor, Via)>,
}

impl From<ApiError> for NotLetIn {
    fn from(refusal: ApiError) -> Self {
        Self { refusal, known: None }
    }
}

impl From<StoreError> for NotLetIn {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

/// Who calls; nobody when the request brings nothing to be recognised by.
///
/// # Errors
/// When what it brings is no longer, or never was, good.
pub(crate) async fn authenticate(
    state: &AppState,
    method: &Method,
    headers: &HeaderMap,
    origin: Origin,
) -> Result<Option<Caller>, NotLetIn> {
    if let Some(token) = bearer(headers) {
        return match token.strip_prefix(API_KEY_PREFIX) {
            Some(key) => Ok(Some(by_api_key(state, key, origin).await?)),
            None => by_session(state, token, false, origin).await.map(|(caller, _)| Some(caller)),
        };
    }
    let Some(token) = cookies::access_token(&state.app.settings, headers) else { return Ok(None) };
    let (caller, session) = by_session(state, &token, true, origin).await?;
    if !state.keys.csrf.allows(method, headers, session) {
        let known = Some((caller.actor(), caller.via));
        return Err(NotLetIn { refusal: ApiError::CsrfTokenInvalid, known });
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
) -> Result<(Caller, SessionId), NotLetIn> {
    let claims = match state.keys.signer.check(token) {
        Ok(claims) => claims,
        Err(BadToken::Expired(claims)) => {
            return Err(no_longer(state, &claims, ApiError::TokenExpired).await);
        }
        Err(BadToken::Invalid) => return Err(ApiError::TokenInvalid.into()),
    };
    let user = state.app.store.use_session(claims.sid, state.app.settings.session_idle).await?;
    let Some(user) = user.filter(|user| user.id == claims.sub) else {
        return Err(no_longer(state, &claims, ApiError::SessionEnded).await);
    };
    let via = Via::Session(claims.sid);
    let brought = Some(Brought { by_cookie, issued: claims.iat, expires: claims.exp });
    Ok((Caller { user, via, origin, brought, audit_key: state.keys.audit_key.clone() }, claims.sid))
}

/// The refusal of a token that we gave out, and that opens nothing any more.
async fn no_longer(state: &AppState, claims: &Claims, refusal: ApiError) -> NotLetIn {
    // The id is enough where the database does not answer.
    let user = state.app.store.user(claims.sub).await.ok().flatten();
    let name = user.map(|user| user.email.to_string()).unwrap_or_default();
    let via = Via::Session(claims.sid);
    NotLetIn { refusal, known: Some((via.actor(claims.sub, name), via)) }
}

/// `key` is `{id}_{secret}`.
async fn by_api_key(state: &AppState, key: &str, origin: Origin) -> Result<Caller, NotLetIn> {
    let (id, secret) = key.split_once('_').ok_or(ApiError::ApiKeyInvalid)?;
    let id: ApiKeyId = id.parse().map_err(|_| ApiError::ApiKeyInvalid)?;
    let (via, audit_key) = (Via::ApiKey(id), state.keys.audit_key.clone());
    match state.app.store.use_api_key(id, Sha256::of(secret.as_bytes())).await? {
        Some(KeyHolder::Good(user)) => Ok(Caller { user, via, origin, brought: None, audit_key }),
        Some(KeyHolder::Spent(user)) => {
            let known = Some((via.actor(user.id, user.email.to_string()), via));
            Err(NotLetIn { refusal: ApiError::ApiKeyInvalid, known })
        }
        None => Err(ApiError::ApiKeyInvalid.into()),
    }
}
