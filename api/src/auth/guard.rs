//! Checks the permission that a route requires, and documents it. One call does both, so that the check and the
//! documentation cannot differ.

use crate::app::AppState;
use crate::auth::audit::{RequestTarget, refuse, refuse_unauthenticated, unauthenticated_entry};
use crate::auth::caller::{AuthMethod, Caller};
use crate::auth::cookies;
use crate::auth::credentials::{AuthFailure, authenticate};
use crate::auth::permissions::Permission;
use crate::error::{ApiError, ErrorCode};
use crate::extract::client_info::ClientInfo;
use crate::openapi::route::{operations, writes};
use crate::openapi::{error_responses, security};
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use diagflow_store::{Action, ObjectKind};
use utoipa_axum::router::UtoipaMethodRouter;

/// Errors of [`optional_caller`].
pub(crate) const CREDENTIAL_ERRORS: [ErrorCode; 4] = [
    ErrorCode::TokenExpired,
    ErrorCode::TokenInvalid,
    ErrorCode::SessionEnded,
    ErrorCode::ApiKeyInvalid,
];
/// Errors of [`guarded`], besides [`CREDENTIAL_ERRORS`].
const GUARD_ERRORS: [ErrorCode; 4] = [
    ErrorCode::SignInRequired,
    ErrorCode::Forbidden,
    ErrorCode::CsrfTokenInvalid,
    ErrorCode::TooManyRequests,
];

pub(crate) fn guarded(
    state: &AppState,
    permission: Permission,
    (schemas, mut paths, router): UtoipaMethodRouter<AppState>,
) -> UtoipaMethodRouter<AppState> {
    for (_, operation) in operations(&mut paths) {
        operation.security = Some(security::account(&[permission.name()]).to_vec());
        error_responses::add(operation, &CREDENTIAL_ERRORS);
        error_responses::add(operation, &GUARD_ERRORS);
    }
    for operation in writes(&mut paths) {
        operation.security = Some(security::account_with_csrf_token(&[permission.name()]).to_vec());
    }
    let guard = from_fn_with_state((state.clone(), permission), authorize);
    (schemas, paths, router.route_layer(guard))
}

async fn authorize(
    State((state, permission)): State<(AppState, Permission)>,
    mut request: Request,
    next: Next,
) -> Response {
    match authorize_request(&state, permission, &mut request).await {
        Ok(caller) => renew_cookie(&state, &caller, next.run(request).await),
        Err(error) => error.into_response(),
    }
}

/// The caller of a route that needs no credentials. Invalid credentials are refused rather than ignored.
pub(crate) async fn optional_caller(
    state: &AppState,
    target: &RequestTarget,
    headers: &HeaderMap,
    client: ClientInfo,
) -> Result<Option<Caller>, ApiError> {
    match authenticate(state, target.method(), headers, client.clone()).await {
        Ok(caller) => Ok(caller),
        Err(failure) => Err(reject(state, target, &client, failure).await),
    }
}

/// Adds the caller to the request if the caller has the permission.
async fn authorize_request(
    state: &AppState,
    permission: Permission,
    request: &mut Request,
) -> Result<Caller, ApiError> {
    let headers = request.headers().clone();
    let proxies = state.app.settings.trusted_proxies;
    let client = ClientInfo::of(&headers, request.extensions(), proxies);
    let target = RequestTarget::of(request);
    let failure = match authenticate(state, target.method(), &headers, client.clone()).await {
        Ok(Some(caller)) if caller.has_permission(permission) => {
            request.extensions_mut().insert(caller.clone());
            return Ok(caller);
        }
        Ok(Some(caller)) => {
            let entry = caller.audit_entry(Action::Access, ObjectKind::Service, "");
            let entry = target.annotate(state, entry).await;
            return Err(refuse(state, entry, ApiError::Forbidden).await);
        }
        Ok(None) => ApiError::SignInRequired.into(),
        Err(failure) => failure,
    };
    Err(reject(state, &target, &client, failure).await)
}

async fn reject(
    state: &AppState,
    target: &RequestTarget,
    client: &ClientInfo,
    failure: AuthFailure,
) -> ApiError {
    if !failure.error.is_client_error() {
        return failure.error;
    }
    let entry = unauthenticated_entry(state, client, &failure, Action::Access);
    let entry = target.annotate(state, entry).await;
    refuse_unauthenticated(state, client, entry, failure.error).await
}

/// Renews an access token that came in a cookie: after half its lifetime, the response sets a new one, unless the
/// handler sets the cookie itself.
fn renew_cookie(state: &AppState, caller: &Caller, mut response: Response) -> Response {
    let (Some(presented), AuthMethod::Session(session)) =
        (caller.presented_token, caller.auth_method)
    else {
        return response;
    };
    let halfway = presented.issued_at + (presented.expires_at - presented.issued_at) / 2;
    let headers = response.headers_mut();
    let settings = &state.app.settings;
    let start = format!("{}=", cookies::SESSION.full_name(settings));
    let sets_cookie = headers
        .get_all(SET_COOKIE)
        .iter()
        .any(|cookie| cookie.as_bytes().starts_with(start.as_bytes()));
    if presented.from_cookie && !sets_cookie && Utc::now().timestamp() >= halfway {
        let token = state.keys.access_tokens.issue(caller.user.id, session);
        let cookie = cookies::cookie(settings, cookies::SESSION, token);
        let value = HeaderValue::from_str(&cookie.to_string());
        headers.append(SET_COOKIE, value.expect("tokens are plain ASCII"));
    }
    response
}
