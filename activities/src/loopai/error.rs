//! Errors of requests to LoopAI, and whether a retry can help.

use diagflow_store::FailureCode;
use std::time::Duration;

/// Whether a retry can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    Transient,
    /// Retry later. Usually an operator has to fix the cause: a wrong key, a changed address, a missing execution.
    NeedsOperator,
    /// LoopAI does not accept this submission. Do not retry.
    Permanent,
}

/// A failed request to LoopAI. `Display` is for logs, [`LoopAiError::code`] for the database and Temporal.
#[derive(Debug, thiserror::Error)]
pub enum LoopAiError {
    #[error("no response in time")]
    Timeout,
    /// No connection, or the connection was lost.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// 429.
    #[error("rate limit exceeded")]
    RateLimited { retry_after: Option<Duration> },
    /// 5xx, 408, 409, 423 or 425: LoopAI failed, or an earlier request with the same key is still in progress.
    #[error("unavailable: HTTP {status}")]
    Unavailable { status: u16, retry_after: Option<Duration> },
    /// 401 or 403.
    #[error("API key refused: HTTP {0}")]
    Unauthorized(u16),
    /// 404 or 410: the agent does not exist, or the execution no longer does.
    #[error("agent or execution not found: HTTP {0}")]
    NotFound(u16),
    /// 3xx. Not followed, because the submission would go to an unknown host.
    #[error("redirected: HTTP {0}")]
    Redirected(u16),
    /// Any other 4xx.
    #[error("submission refused: HTTP {0}")]
    Refused(u16),
    /// 200 with a body that breaks the contract: HTML, invalid JSON, a missing field.
    #[error("unreadable response: {0}")]
    Unreadable(String),
    #[error("response larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("COMPLETED without a result object")]
    NoResult,
}

impl LoopAiError {
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

    /// Whether the circuit breaker counts this error as a failure. It does if LoopAI is down or rate-limits us, because
    /// other requests would fail, too. Other 4xx responses and redirects show that LoopAI is up.
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

    /// The delay from LoopAI's `Retry-After` header.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }
}
