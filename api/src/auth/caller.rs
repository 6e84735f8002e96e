//! The caller of a request, and the audit entries about callers.

use crate::app::AppState;
use crate::auth::auth_method::AuthMethod;
use crate::auth::permissions::Permission;
use crate::error::ApiError;
use crate::extract::client_info::ClientInfo;
use crate::openapi::route::Documented;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use diagflow_store::{
    Action, Actor, ActorKind, AuditKey, NewAuditEntry, ObjectKind, SUCCESS, SessionId, Submission,
    User,
};
use serde_json::Map;

/// The access token sent with a request. Times are Unix timestamps in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PresentedToken {
    pub(crate) from_cookie: bool,
    pub(crate) issued_at: i64,
    pub(crate) expires_at: i64,
}

/// The authenticated account that sent the request. Handlers behind [`crate::auth::guard::guarded`] take the caller as
/// an argument, after the guard has checked its permission.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: User,
    pub(crate) auth_method: AuthMethod,
    pub(crate) client: ClientInfo,
    /// `None` if the request was authenticated with an API key.
    pub(crate) presented_token: Option<PresentedToken>,
    pub(super) audit_key: AuditKey,
}

impl Caller {
    pub(crate) fn has_permission(&self, permission: Permission) -> bool {
        Permission::of(self.user.role).contains(&permission)
    }

    /// Whether this caller may see the submission. Deleted submissions are visible only with a permission, unless they
    /// have been erased and contain nothing worth hiding.
    pub(crate) fn may_see(&self, submission: &Submission) -> bool {
        submission.deleted_at.is_none()
            || submission.erased_at.is_some()
            || self.has_permission(Permission::SubmissionsDelete)
    }

    /// Returns [`ApiError::Forbidden`] for an API key, which has no session.
    pub(crate) fn session(&self) -> Result<SessionId, ApiError> {
        match self.auth_method {
            AuthMethod::Session(session) => Ok(session),
            AuthMethod::ApiKey(_) => Err(ApiError::Forbidden),
        }
    }

    pub(super) fn actor(&self) -> Actor {
        self.auth_method.actor(self.user.id, self.user.email.to_string())
    }

    /// Returns an audit entry for an action by this caller. `object_id` is empty if the action does not affect a single
    /// object.
    pub(crate) fn audit_entry(
        &self,
        action: Action,
        object_kind: ObjectKind,
        object_id: impl ToString,
    ) -> NewAuditEntry {
        let entry = new_entry(&self.audit_key, self.actor(), &self.client, action);
        let object_id = object_id.to_string();
        self.auth_method.annotate(NewAuditEntry { object_kind, object_id, ..entry })
    }
}

/// Returns an audit entry for an action by an unidentified client. `claimed` is the e-mail address the client claims to
/// own.
pub(crate) fn anonymous_entry(
    state: &AppState,
    client: &ClientInfo,
    claimed: &str,
    action: Action,
) -> NewAuditEntry {
    let actor = Actor { kind: ActorKind::Anonymous, id: None, name: claimed.to_owned() };
    new_entry(&state.keys.audit, actor, client, action)
}

/// Returns an audit entry for a session. The actor is the account that owns the session.
pub(crate) fn session_entry(
    state: &AppState,
    client: &ClientInfo,
    user: &User,
    session: SessionId,
    action: Action,
) -> NewAuditEntry {
    let actor = AuthMethod::Session(session).actor(user.id, user.email.to_string());
    let (object_kind, object_id) = (ObjectKind::Session, session.to_string());
    let entry = new_entry(&state.keys.audit, actor, client, action);
    NewAuditEntry { object_kind, object_id, ..entry }
}

fn new_entry(key: &AuditKey, actor: Actor, client: &ClientInfo, action: Action) -> NewAuditEntry {
    NewAuditEntry {
        key: key.clone(),
        actor,
        action,
        object_kind: ObjectKind::Service,
        object_id: String::new(),
        result: SUCCESS.to_owned(),
        address: client.address.to_string(),
        request_id: client.request_id.clone(),
        details: Map::new(),
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(|| {
            ApiError::internal("the handler takes a caller, but its route has no guard")
        })
    }
}

impl Documented for Caller {}
