//! Who calls.

use crate::app::AppState;
use crate::auth::permissions::Permission;
use crate::error::ApiError;
use crate::extract::origin::Origin;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use diagflow_store::{
    Action, Actor, ActorKind, ApiKeyId, AuditEntry, AuditKey, DONE, ObjectKind, SessionId, User,
    UserId,
};
use serde_json::Map;

/// By what somebody was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// A session.
    Session(SessionId),
    /// An API key.
    ApiKey(ApiKeyId),
}

impl Via {
    /// The account as the audit names it, when it was recognised by this.
    pub(super) fn actor(self, user: UserId, name: String) -> Actor {
        let kind = match self {
            Via::Session(_) => ActorKind::User,
            Via::ApiKey(_) => ActorKind::Service,
        };
        Actor { kind, id: Some(user), name }
    }

    /// The line, with the session or the key.
    pub(super) fn on(self, line: AuditEntry) -> AuditEntry {
        match self {
            Via::Session(session) => line.with("session", session.to_string()),
            Via::ApiKey(key) => line.with("key", key.to_string()),
        }
    }
}

/// The access token that a caller brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Brought {
    /// Whether it came in a page's cookie.
    pub(crate) by_cookie: bool,
    /// When it was given out (seconds since 1970, UTC).
    pub(crate) issued: i64,
    /// Until when it is good (seconds since 1970, UTC).
    pub(crate) expires: i64,
}

/// Somebody, or some program, that may do what the route asks for. Handlers behind
/// [`super::guarded`] take it as an argument.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The account.
    pub(crate) user: User,
    /// By what it was recognised.
    pub(crate) via: Via,
    /// Where the request comes from.
    pub(crate) origin: Origin,
    /// The access token; none with an API key.
    pub(crate) brought: Option<Brought>,
    pub(super) audit_key: AuditKey,
}

impl Caller {
    /// Whether the account's role has a permission.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        Permission::of(self.user.role).contains(&permission)
    }

    /// The caller's session.
    ///
    /// # Errors
    /// [`ApiError::Forbidden`], for a program: an API key has none.
    pub(crate) fn session(&self) -> Result<SessionId, ApiError> {
        match self.via {
            Via::Session(session) => Ok(session),
            Via::ApiKey(_) => Err(ApiError::Forbidden),
        }
    }

    /// As the audit names it.
    pub(super) fn actor(&self) -> Actor {
        self.via.actor(self.user.id, self.user.email.to_string())
    }

    /// A line of the audit: this caller did `action` to the thing named `object_id` (empty where there is
    /// none in particular).
    pub(crate) fn did(
        &self,
        action: Action,
        object_kind: ObjectKind,
        object_id: impl ToString,
    ) -> AuditEntry {
        let (key, object_id) = (&self.audit_key, object_id.to_string());
        self.via.on(entry(key, self.actor(), &self.origin, action, object_kind, object_id))
    }
}

/// A line of the audit about a request of nobody that we know. `claimed` is whom it claims to come from.
pub(crate) fn somebody_did(
    state: &AppState,
    origin: &Origin,
    claimed: &str,
    action: Action,
) -> AuditEntry {
    let actor = Actor { kind: ActorKind::Anonymous, id: None, name: claimed.to_owned() };
    entry(&state.keys.audit_key, actor, origin, action, ObjectKind::Service, String::new())
}

fn entry(
    key: &AuditKey,
    actor: Actor,
    origin: &Origin,
    action: Action,
    object_kind: ObjectKind,
    object_id: String,
) -> AuditEntry {
    AuditEntry {
        key: key.clone(),
        actor,
        action,
        object_kind,
        object_id,
        result: DONE.to_owned(),
        address: origin.address.to_string(),
        request_id: origin.request_id.clone(),
        details: Map::new(),
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(|| {
            ApiError::Internal("a handler asks for a caller outside the guard".into())
        })
    }
}
