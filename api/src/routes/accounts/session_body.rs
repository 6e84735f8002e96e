use diagflow_store::{Session, SessionId, UtcTime};
use serde::Serialize;
use utoipa::ToSchema;

/// Active sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionListResponse {
    /// Always `true`.
    #[schema(example = true)]
    pub(crate) success: bool,
    /// The sessions, newest first.
    pub(crate) data: Vec<SessionBody>,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionBody {
    /// Id of the session.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: SessionId,
    /// Whether the request was authenticated with this session.
    pub(crate) current: bool,
    /// IP address used to sign in.
    #[schema(example = "192.0.2.7")]
    pub(crate) address: String,
    /// User agent used to sign in.
    pub(crate) user_agent: String,
    /// Time of the sign-in.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) created_at: UtcTime,
    /// Time of the last use, accurate to the minute.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) used_at: UtcTime,
    /// Time at which the session ends if it is not used before then.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) idle_after: UtcTime,
    /// Time at which the session ends even if it is in use.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) expires_at: UtcTime,
}

impl SessionListResponse {
    /// `current` is the session that the request was authenticated with, if any.
    pub(crate) fn of(sessions: Vec<Session>, current: Option<SessionId>) -> Self {
        let body = |session: Session| SessionBody {
            id: session.id,
            current: current == Some(session.id),
            address: session.address,
            user_agent: session.user_agent,
            created_at: session.created_at,
            used_at: session.used_at,
            idle_after: session.idle_after,
            expires_at: session.expires_at,
        };
        Self { success: true, data: sessions.into_iter().map(body).collect() }
    }
}

/// The response to a request that ends sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndedSessionsResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Number of sessions ended.
    ended: usize,
}

impl EndedSessionsResponse {
    pub(crate) fn of(ended: usize) -> Self {
        Self { success: true, ended }
    }
}
