//! Records refused requests in the audit log.
//!
//! Every refusal goes through [`refuse`], which appends an audit entry. The store itself appends entries only for the
//! actions it performs, in the same transaction.
//!
//! Appending an entry locks the head of the audit log, and entries are never deleted. A client that sends many refused
//! requests could therefore delay all other requests and bury important entries among useless ones. For this reason,
//! entries about anonymous clients are limited per client ([`refuse_unauthenticated`]) and per process, and entries
//! about accounts are limited per account ([`append_refusal`]).

use crate::app::AppState;
use crate::auth::caller::anonymous_entry;
use crate::auth::credentials::AuthFailure;
use crate::error::ApiError;
use crate::extract::client_info::ClientInfo;
use crate::layers::limiters::RateLimitClass;
use crate::telemetry;
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use diagflow_store::{
    Action, ActorKind, FileId, NewAuditEntry, ObjectKind, StoreResult, SubmissionId, UserId,
};

/// Appends an audit entry for a refused request and returns the error for the response. A refusal discloses no data, so
/// the error is the same even if the entry cannot be appended.
pub(crate) async fn refuse(state: &AppState, entry: NewAuditEntry, error: ApiError) -> ApiError {
    if let Err(failure) = append_refusal(state, &entry.with_result(error.code())).await {
        telemetry::audit_entry_dropped("database");
        tracing::error!(error = failure.kind(), "cannot append audit entry for refused request");
    }
    error
}

/// Like [`refuse`], but for a request that may be anonymous. An anonymous client that is refused too often receives a
/// 429 response, and no further entries are appended. Identified callers are not limited by address, because strangers
/// may share it.
pub(crate) async fn refuse_unauthenticated(
    state: &AppState,
    client: &ClientInfo,
    entry: NewAuditEntry,
    error: ApiError,
) -> ApiError {
    if is_anonymous(&entry)
        && let Err(too_many) = state.limiters.admit(RateLimitClass::Unauthenticated, client.key())
    {
        telemetry::audit_entry_dropped("client");
        tracing::info!(
            code = error.code(),
            "audit entry dropped: too many entries about this client"
        );
        return too_many;
    }
    refuse(state, entry, error).await
}

/// Appends the entry unless this process has already appended too many entries of this kind.
pub(crate) async fn append_refusal(state: &AppState, entry: &NewAuditEntry) -> StoreResult<()> {
    if let Err(limit) = state.audit_limits.check(entry) {
        let limit = limit.into();
        telemetry::audit_entry_dropped(limit);
        tracing::warn!(
            limit,
            action = %entry.action,
            code = entry.result,
            "audit entry dropped: too many entries"
        );
        return Ok(());
    }
    state.app.store.append_audit_entry(entry).await
}

fn is_anonymous(entry: &NewAuditEntry) -> bool {
    entry.actor.kind == ActorKind::Anonymous
}

/// Returns an entry for a client that was denied access, including the client's account if it is known.
pub(crate) fn unauthenticated_entry(
    state: &AppState,
    client: &ClientInfo,
    failure: &AuthFailure,
    action: Action,
) -> NewAuditEntry {
    let entry = anonymous_entry(state, client, "", action);
    match &failure.identity {
        Some((actor, auth_method)) => {
            auth_method.annotate(NewAuditEntry { actor: actor.clone(), ..entry })
        }
        None => entry,
    }
}

/// A request's method and path, recorded in the audit log if the request is refused.
#[derive(Debug, Clone)]
pub(crate) struct RequestTarget {
    method: Method,
    path: String,
    /// The route's path template, with parameter names instead of values.
    template: String,
}

impl RequestTarget {
    pub(crate) fn of(request: &Request) -> Self {
        let matched = request.extensions().get::<MatchedPath>();
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            template: matched.map(|path| path.as_str().to_owned()).unwrap_or_default(),
        }
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    /// Adds the route and any submission, account or file named in the path to the entry, so that searches can find it.
    pub(crate) async fn annotate(&self, state: &AppState, entry: NewAuditEntry) -> NewAuditEntry {
        let entry = entry.with("route", format!("{} {}", self.method, self.path));
        let mut pairs = self.template.split('/').zip(self.path.split('/'));
        let Some((_, id)) = pairs.find(|(name, _)| *name == "{id}") else { return entry };
        let is_under = |path| self.template.starts_with(path);
        if is_under("/api/admin/submissions/") {
            let id: Option<SubmissionId> = id.parse().ok();
            return with_object(entry, ObjectKind::Submission, id);
        }
        if is_under("/api/v1/users/") {
            let id: Option<UserId> = id.parse().ok();
            return with_object(entry, ObjectKind::User, id);
        }
        match id.parse() {
            Ok(file) if is_under("/api/admin/files/") => with_file(state, file, entry).await,
            _ => entry,
        }
    }
}

fn with_object(
    entry: NewAuditEntry,
    object_kind: ObjectKind,
    id: Option<impl ToString>,
) -> NewAuditEntry {
    match id {
        Some(id) => NewAuditEntry { object_kind, object_id: id.to_string(), ..entry },
        None => entry,
    }
}

/// Adds a file to the entry. The entry's object is the submission that contains the file, so the submission's audit
/// entries show who requested its images.
pub(crate) async fn with_file(
    state: &AppState,
    file: FileId,
    entry: NewAuditEntry,
) -> NewAuditEntry {
    match state.app.store.file(file).await {
        Ok(Some(found)) => {
            let entry = with_object(entry, ObjectKind::Submission, Some(found.submission_id));
            entry.with("file", file.to_string())
        }
        _ => with_object(entry, ObjectKind::File, Some(file)),
    }
}
