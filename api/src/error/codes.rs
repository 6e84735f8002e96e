//! Every error code of the API: its status, its meaning, and when a repeat makes sense.

use crate::error::{ApiError, ErrorCode};
use axum::http::StatusCode;

impl ErrorCode {
    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }

    pub(crate) fn status(self) -> StatusCode {
        self.status_and_meaning().0
    }

    /// As the documentation explains it.
    pub(crate) fn meaning(self) -> &'static str {
        self.status_and_meaning().1
    }

    fn status_and_meaning(self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidSubmission => {
                (S::BAD_REQUEST, "The submission has errors; `details` lists all of them.")
            }
            Self::InvalidInput => {
                (S::BAD_REQUEST, "Fields are missing or invalid; `details` lists all of them.")
            }
            Self::InvalidJson => (S::BAD_REQUEST, "The body is not a JSON object."),
            Self::InvalidMultipart => {
                (S::BAD_REQUEST, "The body is not valid `multipart/form-data`.")
            }
            Self::UploadIncomplete => {
                (S::BAD_REQUEST, "The connection broke before the body was complete.")
            }
            Self::InvalidIdempotencyKey => (
                S::BAD_REQUEST,
                "`Idempotency-Key` is not one value of 1 to 255 visible ASCII characters.",
            ),
            Self::ReasonRequired => {
                (S::BAD_REQUEST, "The reason is missing, or longer than 500 characters.")
            }
            Self::InvalidQuery => (
                S::BAD_REQUEST,
                "Query parameters are unknown, repeated or invalid; `details` lists all of them.",
            ),
            Self::InvalidCursor => {
                (S::BAD_REQUEST, "The cursor does not belong to a list in this order.")
            }
            Self::PageTooFar => {
                (S::BAD_REQUEST, "The page is too far from the start. Use `next_cursor`.")
            }
            Self::TokenRequired => (S::UNAUTHORIZED, "The request has no token."),
            Self::SignInRequired => (S::UNAUTHORIZED, "The request has no credentials."),
            Self::SignInFailed => {
                (S::UNAUTHORIZED, "The e-mail address or the password is incorrect.")
            }
            Self::TokenExpired => (S::UNAUTHORIZED, "The access token has expired. Refresh it."),
            Self::TokenInvalid => (S::UNAUTHORIZED, "The token is not valid."),
            Self::SessionEnded => (S::UNAUTHORIZED, "The session has ended. Sign in again."),
            Self::ApiKeyInvalid => (S::UNAUTHORIZED, "The API key is unknown, revoked or expired."),
            Self::InvalidSignature => (
                S::UNAUTHORIZED,
                "The signature is wrong, or the timestamp is more than five minutes off.",
            ),
            Self::Forbidden => (S::FORBIDDEN, "The account does not have the permission."),
            Self::CommentSearchForbidden => {
                (S::FORBIDDEN, "Searching comments requires the permission `clinical:read`.")
            }
            Self::CsrfTokenInvalid => (
                S::FORBIDDEN,
                "A change with a session cookie needs the session's `csrf_token` in the header \
                 `X-CSRF-Token`.",
            ),
            Self::NotFound => {
                (S::NOT_FOUND, "It does not exist, or the credentials do not grant access to it.")
            }
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "The path does not support this method.")
            }
            Self::UploadTimeout => (S::REQUEST_TIMEOUT, "The upload took too long."),
            Self::IdempotencyKeyInUse => {
                (S::CONFLICT, "The first request with this key is still being processed.")
            }
            Self::LastAdmin => (S::CONFLICT, "The change would leave no enabled admin."),
            Self::EmailTaken => (S::CONFLICT, "Another account has this e-mail address."),
            Self::NotAServiceAccount => {
                (S::CONFLICT, "Only enabled accounts with the role `service` have API keys.")
            }
            Self::AlreadyFinal => (S::CONFLICT, "The submission has already ended."),
            Self::NotFinal => {
                (S::CONFLICT, "The submission is still being processed. Cancel it first.")
            }
            Self::Superseded => (
                S::CONFLICT,
                "The submission has been retried since, so the e-mail is out of date.",
            ),
            Self::MatchCountChanged => (
                S::CONFLICT,
                "The filter matches another number of submissions now; `matched` has the number.",
            ),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "The body is too large."),
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "The `Content-Type` is not supported.")
            }
            Self::IdempotencyKeyReused => {
                (S::UNPROCESSABLE_ENTITY, "The key was used for a different submission.")
            }
            Self::TooManyAttempts => (S::TOO_MANY_REQUESTS, "Too many failed sign-in attempts."),
            Self::TooManyRequests => (
                S::TOO_MANY_REQUESTS,
                "Too many requests from this client. The headers `RateLimit-Policy` and `RateLimit` \
                 show the limits.",
            ),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "An error on our side. It is logged."),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "Too many uploads are in progress."),
            Self::Unavailable => {
                (S::SERVICE_UNAVAILABLE, "The database or the file storage does not respond.")
            }
            Self::OutcomeUnknown => (
                S::SERVICE_UNAVAILABLE,
                "The request may have succeeded; the confirmation did not arrive in time.",
            ),
            Self::TemporalUnavailable => (S::SERVICE_UNAVAILABLE, "Temporal does not respond."),
            Self::Timeout => (S::SERVICE_UNAVAILABLE, "The response took too long."),
        }
    }

    /// Whether responses with this code have the header `Retry-After`.
    pub(crate) fn has_retry_after(self) -> bool {
        self.status().is_server_error() && self != Self::Internal
            || matches!(
                self,
                Self::TooManyAttempts | Self::TooManyRequests | Self::IdempotencyKeyInUse
            )
    }
}

impl ApiError {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        ErrorCode::from(self).as_str()
    }

    /// Whether the caller, and not the service, is the reason.
    pub(crate) fn is_client_error(&self) -> bool {
        ErrorCode::from(self).status().is_client_error()
    }

    /// Seconds after which a repeat makes sense.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts { seconds } => Some(*seconds),
            Self::TooManyRequests(exceeded) => Some(exceeded.seconds),
            Self::IdempotencyKeyInUse => Some(1),
            _ => ErrorCode::from(self).has_retry_after().then_some(5),
        }
    }
}
