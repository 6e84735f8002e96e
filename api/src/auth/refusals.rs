//! Refusals in the audit, within bounds. Every line takes the audit's one lock, and stays for ever: somebody
//! who need not prove anything could otherwise keep everybody waiting, and bury what matters.

use crate::app::AppState;
use crate::auth::caller::somebody_did;
use crate::auth::credentials::NotLetIn;
use crate::error::{ApiError, kind};
use crate::extract::origin::Origin;
use crate::layers::limiters::Counted;
use crate::telemetry;
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use diagflow_store::{
    Action, ActorKind, AuditEntry, FileId, ObjectKind, StoreResult, SubmissionId, UserId,
};

/// Refuses a request that nobody may make, and writes that down; `line` says what was tried. A client that is
/// refused again and again is told to wait instead, without a line, where nobody that we know is refused:
/// who is known shares an address with strangers, and answers for what they do. Returns what to answer: a
/// refusal shows nothing, so it need not wait for a database that does not take the line.
pub(crate) async fn refuse(
    state: &AppState,
    origin: &Origin,
    line: AuditEntry,
    refusal: ApiError,
) -> ApiError {
    let admitted = match is_stranger(&line) {
        true => state.limiters.admit(Counted::Refused, origin.client()),
        false => Ok(()),
    };
    if let Err(too_many) = admitted {
        telemetry::line_withheld("client");
        tracing::info!(code = refusal.code(), "refused once more, without a line in the audit");
        return too_many;
    }
    if let Err(error) = note(state, &line.refused(refusal.code())).await {
        telemetry::line_withheld("database");
        tracing::error!(error = kind(&error), "a refusal is not in the audit");
    }
    refusal
}

/// Writes down what was refused, unless too much of it comes from nobody that we know.
pub(crate) async fn note(state: &AppState, line: &AuditEntry) -> StoreResult<()> {
    if is_stranger(line) && !state.strangers.admit(line.action) {
        telemetry::line_withheld("process");
        tracing::warn!(action = %line.action, code = line.result, "no line in the audit: too many");
        return Ok(());
    }
    state.app.store.audit(line).await
}

/// Whether a line is about nobody that we know.
fn is_stranger(line: &AuditEntry) -> bool {
    line.actor.kind == ActorKind::Anonymous
}

/// A line about somebody who was not let in, by name where that is known.
pub(crate) fn outsider_did(
    state: &AppState,
    origin: &Origin,
    who: &NotLetIn,
    action: Action,
) -> AuditEntry {
    let line = somebody_did(state, origin, "", action);
    match &who.known {
        Some((actor, via)) => via.on(AuditEntry { actor: actor.clone(), ..line }),
        None => line,
    }
}

/// What a request asks for, as a line about its refusal has it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    method: Method,
    path: String,
    /// The path of the route, with the names of its parameters.
    template: String,
}

impl Target {
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

    /// The line with what was asked for, and on which submission or account, so that it is found by that.
    pub(crate) async fn on(&self, state: &AppState, line: AuditEntry) -> AuditEntry {
        let line = line.with("route", format!("{} {}", self.method, self.path));
        let mut pairs = self.template.split('/').zip(self.path.split('/'));
        let Some((_, id)) = pairs.find(|(name, _)| *name == "{id}") else { return line };
        let is_under = |path| self.template.starts_with(path);
        if is_under("/api/admin/submissions/") {
            let id: Option<SubmissionId> = id.parse().ok();
            return about(line, ObjectKind::Submission, id);
        }
        if is_under("/api/v1/users/") {
            let id: Option<UserId> = id.parse().ok();
            return about(line, ObjectKind::User, id);
        }
        match id.parse() {
            Ok(file) if is_under("/api/admin/files/") => on_file(state, file, line).await,
            _ => line,
        }
    }
}

/// The line with this object; without one where the path has no id of ours.
fn about(line: AuditEntry, object_kind: ObjectKind, id: Option<impl ToString>) -> AuditEntry {
    match id {
        Some(id) => AuditEntry { object_kind, object_id: id.to_string(), ..line },
        None => line,
    }
}

/// The line with a file, as one about its submission: who was shown a patient's images is asked by that.
pub(crate) async fn on_file(state: &AppState, file: FileId, line: AuditEntry) -> AuditEntry {
    match state.app.store.file(file).await {
        Ok(Some(found)) => {
            let line = about(line, ObjectKind::Submission, Some(found.submission_id));
            line.with("file", file.to_string())
        }
        _ => about(line, ObjectKind::File, Some(file)),
    }
}
