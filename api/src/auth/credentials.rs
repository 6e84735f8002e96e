//! Identifies the caller by an access token or API key (`Authorization: Bearer`), or by the session cookie.

use crate::app::AppState;
use crate::auth::auth_method::AuthMethod;
use crate::auth::caller::{Caller, PresentedToken};
use crate::auth::cookies;
use crate::auth::jwt::{Claims, TokenError};
use crate::error::ApiError;
use crate::extract::client_info::ClientInfo;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use diagflow_store::{Actor, ApiKeyId, ApiKeyOwner, SessionId, Sha256, StoreError};

/// Prefix by which secret scanners recognise a leaked key.
pub(crate) const API_KEY_PREFIX: &str = "dfk_";

pub(crate) struct AuthFailure {
    pub(crate) error: ApiError,
    /// The account and its session or API key, if they could be identified despite the error. Recorded in the audit
    /// log.
    pub(crate) identity: Option<(Actor, AuthMethod)>,
}

impl From<ApiError> for AuthFailure {
    fn from(error: ApiError) -> Self {
        Self { error, identity: None }
    }
}

impl From<StoreError> for AuthFailure {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

/// Returns `None` if the request has no credentials.
pub(crate) async fn authenticate(
    state: &AppState,
    method: &Method,
    headers: &HeaderMap,
    client: ClientInfo,
) -> Result<Option<Caller>, AuthFailure> {
    if let Some(token) = bearer(headers) {
        return match token.strip_prefix(API_KEY_PREFIX) {
            Some(key) => Ok(Some(by_api_key(state, key, client).await?)),
            None => by_session(state, token, false, client).await.map(|(caller, _)| Some(caller)),
        };
    }
    let Some(token) = cookies::access_token(&state.app.settings, headers) else { return Ok(None) };
    let (caller, session) = by_session(state, &token, true, client).await?;
    if !state.keys.csrf.allows(method, headers, session) {
        let identity = Some((caller.actor(), caller.auth_method));
        return Err(AuthFailure { error: ApiError::CsrfTokenInvalid, identity });
    }
    Ok(Some(caller))
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn by_session(
    state: &AppState,
    token: &str,
    from_cookie: bool,
    client: ClientInfo,
) -> Result<(Caller, SessionId), AuthFailure> {
    let claims = match state.keys.access_tokens.verify(token) {
        Ok(claims) => claims,
        Err(TokenError::Expired(claims)) => {
            return Err(rejected_token(state, &claims, ApiError::TokenExpired).await);
        }
        Err(TokenError::Invalid) => return Err(ApiError::TokenInvalid.into()),
    };
    let user =
        state.app.store.authenticate_session(claims.sid, state.app.settings.session_idle).await?;
    let Some(user) = user.filter(|user| user.id == claims.sub) else {
        return Err(rejected_token(state, &claims, ApiError::SessionEnded).await);
    };
    let auth_method = AuthMethod::Session(claims.sid);
    let presented_token =
        Some(PresentedToken { from_cookie, issued_at: claims.iat, expires_at: claims.exp });
    Ok((
        Caller { user, auth_method, client, presented_token, audit_key: state.keys.audit.clone() },
        claims.sid,
    ))
}

/// Returns the failure for a token that we issued but is no longer valid.
async fn rejected_token(state: &AppState, claims: &Claims, error: ApiError) -> AuthFailure {
    // If the database does not respond, the audit entry identifies the account only by its id.
    let user = state.app.store.user(claims.sub).await.ok().flatten();
    let name = user.map(|user| user.email.to_string()).unwrap_or_default();
    let auth_method = AuthMethod::Session(claims.sid);
    AuthFailure { error, identity: Some((auth_method.actor(claims.sub, name), auth_method)) }
}

/// `key` has the form `{id}_{secret}`.
async fn by_api_key(
    state: &AppState,
    key: &str,
    client: ClientInfo,
) -> Result<Caller, AuthFailure> {
    let (id, secret) = key.split_once('_').ok_or(ApiError::ApiKeyInvalid)?;
    let id: ApiKeyId = id.parse().map_err(|_| ApiError::ApiKeyInvalid)?;
    let (auth_method, audit_key) = (AuthMethod::ApiKey(id), state.keys.audit.clone());
    match state.app.store.authenticate_api_key(id, Sha256::of(secret.as_bytes())).await? {
        Some(ApiKeyOwner::Valid(user)) => {
            Ok(Caller { user, auth_method, client, presented_token: None, audit_key })
        }
        Some(ApiKeyOwner::Invalid(user)) => {
            let identity = Some((auth_method.actor(user.id, user.email.to_string()), auth_method));
            Err(AuthFailure { error: ApiError::ApiKeyInvalid, identity })
        }
        None => Err(ApiError::ApiKeyInvalid.into()),
    }
}
