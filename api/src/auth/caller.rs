//! Who calls.

use crate::app::AppState;
use crate::auth::permissions::Permission;
use crate::error::ApiError;
use crate::extract::client_info::ClientInfo;
use crate::openapi::route::Documented;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use diagflow_store::{
    Action, Actor, ActorKind, ApiKeyId, AuditKey, NewAuditEntry, ObjectKind, SUCCESS, SessionId,
    User, UserId,
};
use serde_json::Map;

/// By what somebody was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthMethod {
    /// A session.
    Session(SessionId),
    /// An API key.
    ApiKey(ApiKeyId),
}

impl AuthMethod {
    /// The account as the audit names it, when it was recognised by this.
    pub(super) fn actor(self, user: UserId, name: String) -> Actor {
        let kind = match self {
            AuthMethod::Session(_) => ActorKind::User,
            AuthMethod::ApiKey(_) => ActorKind::Service,
        };
        Actor { kind, id: Some(user), name }
    }

    /// The entry, with the session or the key.
    pub(super) fn annotate(self, entry: NewAuditEntry) -> NewAuditEntry {
        match self {
            AuthMethod::Session(session) => entry.with("session", session.to_string()),
            AuthMethod::ApiKey(key) => entry.with("key", key.to_string()),
        }
    }
}

/// The access token that a caller presented_token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PresentedToken {
    /// Whether it came in a page's cookie.
    pub(crate) from_cookie: bool,
    /// When it was given out (seconds since 1970, UTC).
    pub(crate) issued_at: i64,
    /// Until when it is good (seconds since 1970, UTC).
    pub(crate) expires_at: i64,
}

/// Somebody, or some program, that may do what the route asks for. Handlers behind
/// [`super::guarded`] take it as an argument.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The account.
    pub(crate) user: User,
    /// By what it was recognised.
    pub(crate) auth_method: AuthMethod,
    /// Where the request comes from.
    pub(crate) client: ClientInfo,
    /// The access token; none with an API key.
    pub(crate) presented_token: Option<PresentedToken>,
    pub(super) audit_key: AuditKey,
}

impl Caller {
    /// Whether the account's role has a permission.
    pub(crate) fn has_permission(&self, permission: Permission) -> bool {
        Permission::of(self.user.role).contains(&permission)
    }

    /// The caller's session.
    ///
    /// # Errors
    /// [`ApiError::Forbidden`], for a program: an API key has none.
    pub(crate) fn session(&self) -> Result<SessionId, ApiError> {
        match self.auth_method {
            AuthMethod::Session(session) => Ok(session),
            AuthMethod::ApiKey(_) => Err(ApiError::Forbidden),
        }
    }

    /// As the audit names it.
    pub(super) fn actor(&self) -> Actor {
        self.auth_method.actor(self.user.id, self.user.email.to_string())
    }

    /// A entry of the audit: this caller did `action` to the thing named `object_id` (empty where there is
    /// none in particular).
    pub(crate) fn audit_entry(
        &self,
        action: Action,
        object_kind: ObjectKind,
        object_id: impl ToString,
    ) -> NewAuditEntry {
        let (key, object_id) = (&self.audit_key, object_id.to_string());
        self.auth_method.annotate(new_entry(
            key,
            self.actor(),
            &self.client,
            action,
            object_kind,
            object_id,
        ))
    }
}

/// A entry of the audit about a request of nobody that we know. `claimed` is whom it claims to come from.
pub(crate) fn anonymous_entry(
    state: &AppState,
    client: &ClientInfo,
    claimed: &str,
    action: Action,
) -> NewAuditEntry {
    let actor = Actor { kind: ActorKind::Anonymous, id: None, name: claimed.to_owned() };
    new_entry(&state.keys.audit, actor, client, action, ObjectKind::Service, String::new())
}

fn new_entry(
    key: &AuditKey,
    actor: Actor,
    client: &ClientInfo,
    action: Action,
    object_kind: ObjectKind,
    object_id: String,
) -> NewAuditEntry {
    NewAuditEntry {
        key: key.clone(),
        actor,
        action,
        object_kind,
        object_id,
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
            ApiError::Internal("a handler asks for a caller outside the guard".into())
        })
    }
}

impl Documented for Caller {}
