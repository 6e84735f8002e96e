//! Errors returned by requests to LoopAI, classified by whether a retry can succeed.

use diagflow_store::{FailureCode, RequestHealth};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    Transient,
    /// A retry usually succeeds only after an operator has fixed the cause, such as a wrong API key or URL.
    NeedsOperator,
    /// LoopAI rejects this submission, so retrying cannot succeed.
    Permanent,
}

/// An error returned by a request to LoopAI. `Display` is intended for logs, and [`LoopAiError::code`] for the database
/// and Temporal.
#[derive(Debug, thiserror::Error)]
pub enum LoopAiError {
    #[error("no response in time")]
    Timeout,
    /// The connection could not be opened, or was lost.
    #[error("no connection: {0}")]
    Unreachable(String),
    #[error("rate limit exceeded")]
    RateLimited { retry_after: Option<Duration> },
    /// LoopAI failed, or is still processing an earlier request with the same key (5xx, 408, 409, 423 or 425).
    #[error("unavailable: HTTP {status}")]
    Unavailable { status: u16, retry_after: Option<Duration> },
    #[error("API key refused: HTTP {0}")]
    Unauthorized(u16),
    /// The agent does not exist, or the execution no longer exists (404 or 410).
    #[error("agent or execution not found: HTTP {0}")]
    NotFound(u16),
    /// LoopAI responded with a redirect, which the client does not follow because the target host is not trusted.
    #[error("redirected: HTTP {0}")]
    Redirected(u16),
    #[error("submission refused: HTTP {0}")]
    Refused(u16),
    /// LoopAI responded with 200, but the body violates the contract. For example, it is HTML, or a required field is
    /// missing.
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
            | Self::Unavailable { .. } => ErrorClass::Transient,
            Self::Unauthorized(_)
            | Self::NotFound(_)
            | Self::Redirected(_)
            | Self::Unreadable(_)
            | Self::TooLarge { .. }
            | Self::NoResult => ErrorClass::NeedsOperator,
            Self::Refused(_) => ErrorClass::Permanent,
        }
    }

    /// Returns what this error reveals about LoopAI's health, for the circuit breaker. Redirects and 4xx responses show
    /// that LoopAI is available.
    pub fn health(&self) -> RequestHealth {
        match self {
            Self::RateLimited { .. }
            | Self::Unavailable { status: 500.., retry_after: Some(_) }
            | Self::Unavailable { status: 503, .. } => RequestHealth::Overloaded,
            Self::Unavailable { status: 500, .. } => RequestHealth::ServerError,
            Self::Timeout | Self::Unreadable(_) | Self::Unavailable { status: 504, .. } => {
                RequestHealth::NoResponse
            }
            Self::Unreachable(_) | Self::Unavailable { status: 501.., .. } => {
                RequestHealth::Unreachable
            }
            Self::Unavailable { .. }
            | Self::Unauthorized(_)
            | Self::NotFound(_)
            | Self::Redirected(_)
            | Self::Refused(_)
            | Self::TooLarge { .. }
            | Self::NoResult => RequestHealth::Rejected,
        }
    }

    /// Returns the delay from the `Retry-After` header of LoopAI's response.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_500_without_retry_after_may_be_caused_by_the_submission() {
        let retry_after = Some(Duration::from_secs(1));
        let unavailable = |status, retry_after| LoopAiError::Unavailable { status, retry_after };
        for (error, expected) in [
            (unavailable(500, None), RequestHealth::ServerError),
            (unavailable(500, retry_after), RequestHealth::Overloaded),
            (unavailable(503, None), RequestHealth::Overloaded),
            (unavailable(504, retry_after), RequestHealth::Overloaded),
            (LoopAiError::RateLimited { retry_after: None }, RequestHealth::Overloaded),
            (unavailable(502, None), RequestHealth::Unreachable),
            (unavailable(504, None), RequestHealth::NoResponse),
            (LoopAiError::Timeout, RequestHealth::NoResponse),
            (unavailable(409, retry_after), RequestHealth::Rejected),
        ] {
            assert_eq!(error.health(), expected, "{error}");
        }
    }
}
