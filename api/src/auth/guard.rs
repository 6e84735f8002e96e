//! Checks and documents the permission that a route requires. A single call does both, so the check and the
//! documentation cannot diverge.

use crate::app::AppState;
use crate::auth::audit::{RequestTarget, refuse, refuse_unauthenticated, unauthenticated_entry};
use crate::auth::auth_method::AuthMethod;
use crate::auth::caller::Caller;
use crate::auth::cookies;
use crate::auth::credentials::{AuthFailure, authenticate};
use crate::auth::permissions::Permission;
use crate::auth::stream_access::has_signed_token;
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::client_info::ClientInfo;
use crate::openapi::route::{Documented, operations, writes};
use crate::openapi::{error_responses, security};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use diagflow_store::{Action, ObjectKind};
use std::sync::Arc;
use tokio::sync::OnceCell;
use utoipa::openapi::path::Paths;
use utoipa_axum::router::UtoipaMethodRouter;

/// Errors returned by [`optional_caller`].
pub(crate) const CREDENTIAL_ERRORS: [ErrorCode; 4] = [
    ErrorCode::TokenExpired,
    ErrorCode::TokenInvalid,
    ErrorCode::SessionEnded,
    ErrorCode::ApiKeyInvalid,
];
/// Errors returned by [`guarded`], in addition to [`CREDENTIAL_ERRORS`].
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
    document(&mut paths, permission);
    let guard = from_fn_with_state((state.clone(), permission), authorize);
    (schemas, paths, router.route_layer(guard))
}

/// Like [`guarded`], but for an event stream, whose handler has to check the permission with
/// [`StreamCaller::authorize`]. During a database outage, the handler does so later.
pub(crate) fn guarded_stream(
    state: &AppState,
    permission: Permission,
    (schemas, mut paths, router): UtoipaMethodRouter<AppState>,
) -> UtoipaMethodRouter<AppState> {
    document(&mut paths, permission);
    let guard = from_fn_with_state((state.clone(), permission), authorize_stream);
    (schemas, paths, router.route_layer(guard))
}

fn document(paths: &mut Paths, permission: Permission) {
    for (_, operation) in operations(paths) {
        operation.security = Some(security::account(&[permission.name()]).to_vec());
        error_responses::add(operation, &CREDENTIAL_ERRORS);
        error_responses::add(operation, &GUARD_ERRORS);
    }
    for operation in writes(paths) {
        operation.security = Some(security::account_with_csrf_token(&[permission.name()]).to_vec());
    }
}

async fn authorize(
    State((state, permission)): State<(AppState, Permission)>,
    request: Request,
    next: Next,
) -> Response {
    run_guarded(&state, permission, request, next, ApiError::into_response).await
}

/// Runs the handler if the caller has the permission. Otherwise, returns the response to the error.
pub(crate) async fn run_guarded(
    state: &AppState,
    permission: Permission,
    mut request: Request,
    next: Next,
    reject: impl FnOnce(ApiError) -> Response,
) -> Response {
    match UnknownCaller::of(state, permission, &request).authorize().await {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            renew_cookie(state, &caller, next.run(request).await)
        }
        Err(error) => reject(error),
    }
}

/// Checks a caller with a signed token only in the handler, because an `EventSource` never reconnects after an error
/// response.
async fn authorize_stream(
    State((state, permission)): State<(AppState, Permission)>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = StreamCaller::new(UnknownCaller::of(&state, permission, &request));
    if !has_signed_token(&state, request.headers())
        && let Err(error) = caller.authorize().await
    {
        return error.into_response();
    }
    request.extensions_mut().insert(caller.clone());
    let response = next.run(request).await;
    match caller.authorized.get() {
        Some(caller) => renew_cookie(&state, caller, response),
        None => response,
    }
}

/// The caller who opens a guarded event stream. Until it is authorized, nothing is known about it except that we issued
/// its token.
#[derive(Clone)]
pub(crate) struct StreamCaller {
    unknown: UnknownCaller,
    authorized: Arc<OnceCell<Caller>>,
}

impl StreamCaller {
    fn new(unknown: UnknownCaller) -> Self {
        Self { unknown, authorized: Arc::default() }
    }

    /// Returns the caller if it has the required permission. A caller that has been authorized is not checked, counted
    /// or audited again.
    pub(crate) async fn authorize(&self) -> ApiResult<Caller> {
        let caller = self.authorized.get_or_try_init(|| self.unknown.authorize()).await;
        caller.cloned()
    }
}

impl FromRequestParts<AppState> for StreamCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> ApiResult<Self> {
        let caller = parts.extensions.get::<StreamCaller>();
        caller.cloned().ok_or_else(|| {
            ApiError::internal("the handler takes a stream caller, but its route has no guard")
        })
    }
}

impl Documented for StreamCaller {}

/// A caller whose credentials have not been checked yet.
#[derive(Clone)]
struct UnknownCaller {
    state: AppState,
    permission: Permission,
    headers: HeaderMap,
    client: ClientInfo,
    target: RequestTarget,
}

impl UnknownCaller {
    fn of(state: &AppState, permission: Permission, request: &Request) -> Self {
        let proxies = &state.app.settings.proxies;
        Self {
            state: state.clone(),
            permission,
            headers: request.headers().clone(),
            client: ClientInfo::of(request.headers(), request.extensions(), proxies),
            target: RequestTarget::of(request),
        }
    }

    /// Returns the caller if it has the required permission.
    async fn authorize(&self) -> ApiResult<Caller> {
        let Self { state, permission, headers, client, target } = self;
        let failure = match authenticate(state, target.method(), headers, client.clone()).await {
            Ok(Some(caller)) => {
                state.limiters.admit_account(caller.user.id)?;
                if caller.has_permission(*permission) {
                    return Ok(caller);
                }
                let entry = caller.audit_entry(Action::Access, ObjectKind::Service, "");
                let entry = target.annotate(state, entry).await;
                return Err(refuse(state, entry, ApiError::Forbidden).await);
            }
            Ok(None) => ApiError::SignInRequired.into(),
            Err(failure) => failure,
        };
        Err(reject(state, target, client, failure).await)
    }
}

/// Returns the caller, if any, of a route that does not require credentials. Invalid credentials are rejected, not
/// ignored.
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

/// Renews an access token that was sent in a cookie. Once half of the token's lifetime has passed, the response sets a
/// new cookie, unless the handler has already set one.
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
