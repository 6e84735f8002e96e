//! Grants access to a submission to the holder of its access token, to staff, and to the account that submitted it. The
//! access token is sent as a Bearer token or in an HttpOnly cookie, never in a URL.

use crate::app::AppState;
use crate::auth::audit::{refuse, refuse_unauthenticated, unauthenticated_entry};
use crate::auth::caller::{Caller, anonymous_entry};
use crate::auth::cookies as session_cookies;
use crate::auth::credentials::{AuthFailure, authenticate, bearer};
use crate::auth::permissions::Permission;
use crate::auth::stream_access::{START_TIMEOUT, StreamAccess, has_signed_token};
use crate::auth::watch::AccessWatch;
use crate::error::{ApiError, ErrorCode};
use crate::extract::client_info::ClientInfo;
use crate::extract::path_id::PathId;
use crate::openapi::route::{Documented, RouteDocument};
use crate::openapi::security;
use crate::own_task::run_to_completion;
use crate::settings::ApiSettings;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use diagflow_store::{Action, NewAuditEntry, ObjectKind, Submission, SubmissionId};
use serde::Deserialize;
use std::marker::PhantomData;
use tokio::time::Instant;

/// The cookies of all submissions have this name, but different paths.
pub(crate) const ACCESS_COOKIE: &str = "diagflow_access";

pub(crate) fn status_path(submission: SubmissionId) -> String {
    format!("/api/user/status/{submission}")
}

pub(crate) fn events_path(submission: SubmissionId) -> String {
    format!("/api/user/events/{submission}")
}

pub(crate) fn cancel_path(submission: SubmissionId) -> String {
    format!("/api/user/cancel/{submission}")
}

pub(crate) fn erase_path(submission: SubmissionId) -> String {
    format!("/api/user/erase/{submission}")
}

/// Returns the path of the submission's photos, to which the position of a photo is appended.
pub(crate) fn photos_path(submission: SubmissionId) -> String {
    format!("/api/user/files/{submission}")
}

/// Path of the submission's page.
pub(crate) fn page_path(submission: SubmissionId) -> String {
    format!("/s/{submission}")
}

/// Returns cookies for `EventSource`, which cannot send headers. Each of the submission's paths has its own cookie, so
/// a browser with many submissions sends only the cookie for the requested path.
pub(crate) fn cookies(
    settings: &ApiSettings,
    submission: SubmissionId,
    token: &str,
) -> [Cookie<'static>; 6] {
    let paths = [status_path, events_path, cancel_path, erase_path, photos_path, page_path]
        .map(|path| path(submission));
    paths.map(|path| {
        Cookie::build((settings.cookie_name(ACCESS_COOKIE, &path), token.to_owned()))
            .path(path)
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(settings.is_secure())
            .build()
    })
}

/// Permission to read the submission in the path.
pub(crate) struct SubmissionAccess {
    /// The submission, which has not been deleted.
    pub(crate) submission: Submission,
    /// The account reading the submission, and the permission that grants access. `None` if the submission's access
    /// token grants access.
    reader: Option<(Caller, Permission)>,
}

impl SubmissionAccess {
    /// Whether the reader may see medical data: true for the patient, for the account that sent the submission, and for
    /// staff with `clinical:read`.
    pub(crate) fn is_clinical(&self) -> bool {
        match &self.reader {
            None | Some((_, Permission::SubmissionsReadOwn)) => true,
            Some((caller, _)) => caller.has_permission(Permission::ClinicalRead),
        }
    }

    /// Whether the submission's access token grants access.
    pub(crate) fn is_patient(&self) -> bool {
        self.reader.is_none()
    }

    /// Returns an entry about an action of the account reading the submission, or `None` if the submission's access
    /// token grants access.
    pub(crate) fn audit_entry(&self, action: Action) -> Option<NewAuditEntry> {
        let (caller, _) = self.reader.as_ref()?;
        Some(caller.audit_entry(action, ObjectKind::Submission, self.submission.id))
    }

    /// Returns a watch that ends a stream when the reader loses access.
    fn watch(&self, state: &AppState) -> AccessWatch {
        match &self.reader {
            None => AccessWatch::until_shutdown(state),
            Some((caller, permission)) => AccessWatch::while_permitted(state, caller, *permission),
        }
    }
}

impl FromRequestParts<AppState> for SubmissionAccess {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let (id, token) = verify_token(parts, state, Action::SubmissionView).await?;
        if token == Token::Other {
            return access_by_account(parts, state, id).await;
        }
        let submission = state.app.store.submission(id).await?.ok_or(ApiError::NotFound)?;
        if submission.token_revoked_at.is_some() {
            return access_by_account(parts, state, id).await;
        }
        match (submission.erased_at, submission.deleted_at) {
            (Some(_), _) => Err(ApiError::Erased),
            (None, Some(_)) => Err(ApiError::NotFound),
            (None, None) => Ok(SubmissionAccess { submission, reader: None }),
        }
    }
}

impl Documented for SubmissionAccess {
    fn document(route: &mut RouteDocument<'_>) {
        document_token(route);
        route.add_errors(&[ErrorCode::Erased]);
        let permissions = [Permission::SubmissionsRead, Permission::SubmissionsReadOwn];
        let permissions = permissions.map(Permission::name);
        let account = security::account(&permissions);
        route.operation().security.get_or_insert_default().extend(account);
    }
}

/// Permission to follow the submission in the path, which may not exist or may have been deleted if the submission's
/// access token grants access.
pub(crate) struct FollowAccess {
    pub(crate) submission: SubmissionId,
    pub(crate) access: StreamAccess,
    /// Whether the submission's access token grants access. If the database did not respond, the token may have been
    /// revoked.
    pub(crate) by_token: bool,
    /// Until when the response may wait for the database.
    pub(crate) deadline: Instant,
}

impl FromRequestParts<AppState> for FollowAccess {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let (submission, token) = verify_token(parts, state, Action::SubmissionView).await?;
        let deadline = Instant::now() + START_TIMEOUT;
        let by_token =
            token == Token::Valid && !is_known_to_be_revoked(state, submission, deadline).await;
        let access = if by_token {
            StreamAccess::Granted(AccessWatch::until_shutdown(state))
        } else if has_signed_token(state, &parts.headers) {
            let (parts, state) = (parts.clone(), state.clone());
            let authorize = move || {
                let (parts, state) = (parts.clone(), state.clone());
                async move {
                    let access = access_by_account(&parts, &state, submission).await?;
                    Ok(access.watch(&state))
                }
            };
            StreamAccess::obtain(authorize, deadline).await?
        } else {
            let access = access_by_account(parts, state, submission).await?;
            StreamAccess::Granted(access.watch(state))
        };
        Ok(FollowAccess { submission, access, by_token, deadline })
    }
}

/// Whether the submission's access token was revoked. Returns `false` if the database does not respond in time, because
/// the stream checks the token again.
async fn is_known_to_be_revoked(
    state: &AppState,
    submission: SubmissionId,
    deadline: Instant,
) -> bool {
    let store = state.app.store.clone();
    let revoked = run_to_completion(async move { store.is_token_revoked(submission).await });
    matches!(tokio::time::timeout_at(deadline, revoked).await, Ok(Ok(Ok(true))))
}

impl Documented for FollowAccess {
    fn document(route: &mut RouteDocument<'_>) {
        SubmissionAccess::document(route);
    }
}

/// An action that requires the submission's access token.
pub(crate) trait PatientAction {
    const ACTION: Action;
}

pub(crate) enum CancelAction {}

impl PatientAction for CancelAction {
    const ACTION: Action = Action::SubmissionCancel;
}

pub(crate) enum EraseAction {}

impl PatientAction for EraseAction {
    const ACTION: Action = Action::SubmissionErase;
}

/// The patient's permission to change the submission in the path, which may not exist or may have been deleted. Only
/// the submission's access token grants this permission. Staff use separate routes, which require a reason.
pub(crate) struct PatientAccess<A> {
    pub(crate) submission: SubmissionId,
    client: ClientInfo,
    action: PhantomData<A>,
}

impl<A: PatientAction> PatientAccess<A> {
    pub(crate) fn audit_entry(&self, state: &AppState) -> NewAuditEntry {
        let entry = anonymous_entry(state, &self.client, "", A::ACTION);
        let (object_kind, object_id) = (ObjectKind::Submission, self.submission.to_string());
        NewAuditEntry { object_kind, object_id, ..entry }.with("credential", "submission_token")
    }
}

impl<A: PatientAction> FromRequestParts<AppState> for PatientAccess<A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let (submission, token) = verify_token(parts, state, A::ACTION).await?;
        if token == Token::Other || state.app.store.is_token_revoked(submission).await? {
            let failure = ApiError::TokenInvalid.into();
            return Err(deny(parts, state, submission, failure, A::ACTION).await);
        }
        let proxies = &state.app.settings.proxies;
        let client = ClientInfo::of(&parts.headers, &parts.extensions, proxies);
        Ok(PatientAccess { submission, client, action: PhantomData })
    }
}

impl<A: PatientAction> Documented for PatientAccess<A> {
    fn document(route: &mut RouteDocument<'_>) {
        document_token(route);
    }
}

fn document_token(route: &mut RouteDocument<'_>) {
    PathId::<SubmissionId>::document(route);
    route.operation().security = Some(security::submission_token().to_vec());
    route.add_errors(&[ErrorCode::TokenRequired, ErrorCode::TooManyRequests]);
}

/// The submission in a path, which may have more parameters.
#[derive(Deserialize)]
struct InPath {
    id: SubmissionId,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// The submission's access token.
    Valid,
    /// Other credentials, possibly those of an account.
    Other,
}

/// Checks the access token without the database, so a valid token may have been revoked. Returns an error if the
/// request has no credentials at all.
async fn verify_token(
    parts: &mut Parts,
    state: &AppState,
    action: Action,
) -> Result<(SubmissionId, Token), ApiError> {
    let PathId(InPath { id }) = PathId::from_request_parts(parts, state).await?;
    let settings = &state.app.settings;
    let tokens = presented_tokens(settings, parts);
    if tokens.is_empty() && session_cookies::access_token(settings, &parts.headers).is_none() {
        return Err(deny(parts, state, id, ApiError::TokenRequired.into(), action).await);
    }
    let is_valid = tokens.iter().any(|token| state.keys.submission_tokens.verifies(token, id));
    Ok((id, if is_valid { Token::Valid } else { Token::Other }))
}

/// Grants access based on a session or an API key. If access is denied, the response is the same as for a submission
/// that does not exist.
async fn access_by_account(
    parts: &Parts,
    state: &AppState,
    id: SubmissionId,
) -> Result<SubmissionAccess, ApiError> {
    let client = ClientInfo::of(&parts.headers, &parts.extensions, &state.app.settings.proxies);
    let failure = match authenticate(state, &parts.method, &parts.headers, client).await {
        Ok(Some(caller)) => return access_by_caller(state, id, caller).await,
        Ok(None) => ApiError::TokenInvalid.into(),
        Err(failure) if failure.error.is_client_error() => failure,
        Err(failure) => return Err(failure.error),
    };
    Err(deny(parts, state, id, failure, Action::SubmissionView).await)
}

async fn access_by_caller(
    state: &AppState,
    id: SubmissionId,
    caller: Caller,
) -> Result<SubmissionAccess, ApiError> {
    let entry = caller.audit_entry(Action::SubmissionView, ObjectKind::Submission, id);
    let submission = find_submission(state, id).await?;
    let opened = submission.and_then(|submission| {
        let permission = permission_for(&caller, &submission)?;
        Some((submission, permission))
    });
    let Some((submission, permission)) = opened else {
        return Err(refuse(state, entry, ApiError::NotFound).await);
    };
    state.app.store.append_audit_entry(&entry).await?;
    Ok(SubmissionAccess { submission, reader: Some((caller, permission)) })
}

/// Returns the error for a caller whose credentials do not grant access. `failure` is the actual reason, which is
/// recorded in the audit log. The response reveals the reason only if the request has no credentials.
async fn deny(
    parts: &Parts,
    state: &AppState,
    id: SubmissionId,
    failure: AuthFailure,
    action: Action,
) -> ApiError {
    let client = ClientInfo::of(&parts.headers, &parts.extensions, &state.app.settings.proxies);
    let entry = unauthenticated_entry(state, &client, &failure, action)
        .with("route", format!("{} {}", parts.method, parts.uri.path()))
        .with("error", failure.error.code());
    let (object_kind, object_id) = (ObjectKind::Submission, id.to_string());
    let entry = NewAuditEntry { object_kind, object_id, ..entry };
    let refusal = match failure.error {
        ApiError::TokenRequired => ApiError::TokenRequired,
        _ => ApiError::NotFound,
    };
    refuse_unauthenticated(state, &client, entry, refusal).await
}

fn permission_for(caller: &Caller, submission: &Submission) -> Option<Permission> {
    let own = submission.submitted_by == Some(caller.user.id);
    let ways = [(Permission::SubmissionsRead, true), (Permission::SubmissionsReadOwn, own)];
    ways.into_iter().find(|(way, open)| *open && caller.has_permission(*way)).map(|(way, _)| way)
}

async fn find_submission(
    state: &AppState,
    id: SubmissionId,
) -> Result<Option<Submission>, ApiError> {
    let submission = state.app.store.submission(id).await?;
    Ok(submission.filter(|submission| submission.deleted_at.is_none()))
}

/// Returns all tokens in the request that could be the submission's access token.
fn presented_tokens(settings: &ApiSettings, parts: &Parts) -> Vec<String> {
    let jar = CookieJar::from_headers(&parts.headers);
    let name = settings.cookie_name(ACCESS_COOKIE, parts.uri.path());
    let cookie = jar.get(&name).map(|cookie| cookie.value().to_owned());
    let bearer = bearer(&parts.headers).map(str::to_owned);
    bearer.into_iter().chain(cookie).filter(|token| !token.is_empty()).collect()
}
