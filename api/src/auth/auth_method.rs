//! How a caller authenticated.

use diagflow_store::{Actor, ActorKind, ApiKeyId, NewAuditEntry, SessionId, UserId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AuthMethod {
    Session(SessionId),
    ApiKey(ApiKeyId),
}

impl AuthMethod {
    pub(super) fn actor(self, user: UserId, name: String) -> Actor {
        let kind = match self {
            AuthMethod::Session(_) => ActorKind::User,
            AuthMethod::ApiKey(_) => ActorKind::Service,
        };
        Actor { kind, id: Some(user), name }
    }

    pub(super) fn annotate(self, entry: NewAuditEntry) -> NewAuditEntry {
        match self {
            AuthMethod::Session(session) => entry.with("session", session.to_string()),
            AuthMethod::ApiKey(key) => entry.with("key", key.to_string()),
        }
    }
}
