//! Sessions as answers show them.

use crate::extract::time_format::rfc3339;
use diagflow_store::{Session, SessionId};
use serde::Serialize;
use utoipa::ToSchema;

/// Sessions that are alive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionListResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The newest first.
    data: Vec<SessionBody>,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
struct SessionBody {
    /// Its name.
    #[schema(value_type = String, format = "uuid")]
    id: SessionId,
    /// Whether it is the one that asks.
    current: bool,
    /// From where it was begun.
    #[schema(example = "192.0.2.7")]
    address: String,
    /// What the browser or program said that it is.
    user_agent: String,
    /// When it was begun (UTC).
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was used last (UTC), to the minute.
    #[schema(format = "date-time")]
    used_at: String,
    /// When it ends unless it is used (UTC).
    #[schema(format = "date-time")]
    idle_after: String,
    /// When it ends in any case (UTC).
    #[schema(format = "date-time")]
    expires_at: String,
}

impl SessionListResponse {
    /// `current` is the session that asks, where it is one of them.
    pub(crate) fn of(sessions: Vec<Session>, current: Option<SessionId>) -> Self {
        let body = |session: Session| SessionBody {
            id: session.id,
            current: current == Some(session.id),
            address: session.address,
            user_agent: session.user_agent,
            created_at: rfc3339(session.created_at),
            used_at: rfc3339(session.used_at),
            idle_after: rfc3339(session.idle_after),
            expires_at: rfc3339(session.expires_at),
        };
        Self { success: true, data: sessions.into_iter().map(body).collect() }
    }
}

/// Sessions were ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndedSessionsResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// How many.
    ended: usize,
}

impl EndedSessionsResponse {
    pub(crate) fn of(ended: usize) -> Self {
        Self { success: true, ended }
    }
}
