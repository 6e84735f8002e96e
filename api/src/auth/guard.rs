//! Checks and documents the permission that a route requires. A single call does both, so the check and the
//! documentation cannot diverge.

use crate::app::AppState;
use crate::auth::audit::{RequestTarget, refuse, refuse_unauthenticated, unauthenticated_entry};
use crate::auth::auth_method::AuthMethod;
use crate::auth::caller::Caller;
use crate::auth::cookies;
use crate::auth::credentials::{AuthFailure, authenticate};
use crate::auth::permissions::Permission;
use crate::auth::stream_access::{START_TIMEOUT, has_signed_token};
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::client_info::ClientInfo;
use crate::layers::time_limit::run_to_completion;
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
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
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

/// Like [`guarded`], but for an event stream, whose handler takes a [`StreamCaller`]. During a database outage, the
/// handler has to check the permission later.
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
    mut request: Request,
    next: Next,
) -> Response {
    match UnknownCaller::of(&state, permission, &request).authorize().await {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            renew_cookie(&state, &caller, next.run(request).await)
        }
        Err(error) => error.into_response(),
    }
}

async fn authorize_stream(
    State((state, permission)): State<(AppState, Permission)>,
    mut request: Request,
    next: Next,
) -> Response {
    let unknown = UnknownCaller::of(&state, permission, &request);
    if !has_signed_token(&state, request.headers()) {
        return authorize(State((state, permission)), request, next).await;
    }
    let now = unknown.clone();
    let mut attempt = run_to_completion(async move { now.authorize().await }).boxed();
    match tokio::time::timeout(START_TIMEOUT, &mut attempt).await.map(Result::flatten) {
        Ok(Ok(caller)) => {
            request.extensions_mut().insert(caller.clone());
            renew_cookie(&state, &caller, next.run(request).await)
        }
        Ok(Err(error)) if !error.is_database_outage() => error.into_response(),
        Ok(Err(_)) => {
            request.extensions_mut().insert(PendingCaller::new(unknown, None));
            next.run(request).await
        }
        Err(_) => {
            request.extensions_mut().insert(PendingCaller::new(unknown, Some(attempt)));
            next.run(request).await
        }
    }
}

/// The caller who opens a guarded event stream.
#[derive(Clone)]
pub(crate) enum StreamCaller {
    Authorized(Box<Caller>),
    /// The database did not respond, so nothing is known about the caller except that we issued its token.
    Pending(Box<PendingCaller>),
}

impl StreamCaller {
    /// Returns the caller if it has the required permission.
    pub(crate) async fn authorize(self) -> ApiResult<Caller> {
        match self {
            StreamCaller::Authorized(caller) => Ok(*caller),
            StreamCaller::Pending(pending) => pending.authorize().await,
        }
    }
}

impl FromRequestParts<AppState> for StreamCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        match parts.extensions.get::<PendingCaller>() {
            Some(pending) => Ok(StreamCaller::Pending(Box::new(pending.clone()))),
            None => {
                let caller = Caller::from_request_parts(parts, state).await?;
                Ok(StreamCaller::Authorized(Box::new(caller)))
            }
        }
    }
}

impl Documented for StreamCaller {}

type Attempt = BoxFuture<'static, ApiResult<ApiResult<Caller>>>;

/// A caller whose credentials could not be checked in time.
#[derive(Clone)]
pub(crate) struct PendingCaller {
    unknown: UnknownCaller,
    /// The check that is still running, until [`PendingCaller::authorize`] takes it. A second check would count and
    /// audit the request twice.
    running: Arc<Mutex<Option<Attempt>>>,
}

impl PendingCaller {
    fn new(unknown: UnknownCaller, running: Option<Attempt>) -> Self {
        Self { unknown, running: Arc::new(Mutex::new(running)) }
    }

    async fn authorize(&self) -> ApiResult<Caller> {
        // A panic cannot leave the attempt inconsistent.
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        match running {
            Some(attempt) => attempt.await.flatten(),
            None => self.unknown.authorize().await,
        }
    }
}

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
