//! What can go wrong with a call to LoopAI, and whether another one may go better.

use diagflow_store::FailureCode;
use std::time::Duration;

/// Whether another call may go better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Call again later.
    Transient,
    /// Call again later, but it hardly heals without somebody's hand (a wrong key, an address that
    /// moved, an execution that is gone).
    NeedsOperator,
    /// LoopAI will not take this submission: never call again with it.
    Permanent,
}

/// A failed call to LoopAI. `Display` is for logs; [`LoopAiError::code`] is for records and history.
#[derive(Debug, thiserror::Error)]
pub enum LoopAiError {
    /// No answer within the limit.
    #[error("no answer within the time limit")]
    Timeout,
    /// No connection, or it broke.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// 429: too many calls; perhaps with the wish to wait.
    #[error("asks us to slow down")]
    RateLimited {
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// 5xx, 408, 409, 423 or 425: its own trouble, or our first request with the same key is still at
    /// work there; perhaps with the wish to wait.
    #[error("answered {status}")]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// 401 or 403: our key is not accepted.
    #[error("refuses our key ({0})")]
    Unauthorized(u16),
    /// 404 or 410: no such agent, or no such execution any more.
    #[error("does not know it ({0})")]
    NotFound(u16),
    /// 3xx: the address has moved. Not followed, since the submission would go to a stranger.
    #[error("redirects to somewhere else ({0})")]
    Redirected(u16),
    /// Any other 4xx: it does not take what we sent.
    #[error("refuses the submission ({0})")]
    Refused(u16),
    /// 200, but not what the contract says: HTML, broken JSON, a missing field.
    #[error("answered what cannot be read: {0}")]
    Unreadable(String),
    /// The body is larger than we accept.
    #[error("answered more than {limit} bytes")]
    TooLarge {
        /// Bytes that we accept.
        limit: usize,
    },
    /// `COMPLETED` without a result object.
    #[error("completed without a result object")]
    NoResult,
}

impl LoopAiError {
    /// Stable code, for records, history and metrics.
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Timeout => FailureCode::LoopaiTimeout,
            Self::Unreachable(_) => FailureCode::LoopaiUnreachable,
            Self::RateLimited { .. } => FailureCode::LoopaiRateLimited,
            Self::Unavailable { .. } => FailureCode::LoopaiUnavailable,
            Self::Unauthorized(_) => FailureCode::LoopaiUnauthorized,
            Self::NotFound(_) => FailureCode::LoopaiNotFound,
            Self::Redirected(_) => FailureCode::LoopaiRedirected,
            Self::Refused(_) => FailureCode::LoopaiRefused,
            Self::Unreadable(_) => FailureCode::LoopaiUnreadable,
            Self::TooLarge { .. } => FailureCode::LoopaiResponseTooLarge,
            Self::NoResult => FailureCode::LoopaiNoResult,
        }
    }

    /// Whether another call may go better.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Timeout
            | Self::Unreachable(_)
            | Self::RateLimited { .. }
            | Self::Unavailable { .. }
            | Self::Unreadable(_) => ErrorClass::Transient,
            Self::Unauthorized(_)
            | Self::NotFound(_)
            | Self::Redirected(_)
            | Self::TooLarge { .. }
            | Self::NoResult => ErrorClass::NeedsOperator,
            Self::Refused(_) => ErrorClass::Permanent,
        }
    }

    /// Whether LoopAI itself is in trouble, or asks everybody to slow down, so that others had better not
    /// call now either. A 4xx or a redirect is an answer: LoopAI is there.
    pub fn trips_breaker(&self) -> bool {
        match self {
            Self::Timeout
            | Self::Unreachable(_)
            | Self::RateLimited { .. }
            | Self::Unreadable(_) => true,
            Self::Unavailable { status, .. } => *status >= 500,
            Self::Unauthorized(_)
            | Self::NotFound(_)
            | Self::Redirected(_)
            | Self::Refused(_)
            | Self::TooLarge { .. }
            | Self::NoResult => false,
        }
    }

    /// How long LoopAI wishes us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }
}
