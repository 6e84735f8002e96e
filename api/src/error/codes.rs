//! What each refusal is by status and stable code, and when it is worth while to come again.

use crate::error::ApiError;
use axum::http::StatusCode;

impl ApiError {
    /// Status and stable code, side by side: the one table of both.
    pub(super) fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidSubmission(_) => (StatusCode::BAD_REQUEST, "invalid_submission"),
            Self::InvalidInput(_) => (StatusCode::BAD_REQUEST, "invalid_input"),
            Self::InvalidJson { .. } => (StatusCode::BAD_REQUEST, "invalid_json"),
            Self::InvalidMultipart => (StatusCode::BAD_REQUEST, "invalid_multipart"),
            Self::UploadIncomplete => (StatusCode::BAD_REQUEST, "upload_incomplete"),
            Self::InvalidIdempotencyKey => (StatusCode::BAD_REQUEST, "invalid_idempotency_key"),
            Self::ReasonRequired => (StatusCode::BAD_REQUEST, "reason_required"),
            Self::InvalidQuery(_) => (StatusCode::BAD_REQUEST, "invalid_query"),
            Self::InvalidCursor => (StatusCode::BAD_REQUEST, "invalid_cursor"),
            Self::PageTooFar => (StatusCode::BAD_REQUEST, "page_too_far"),
            Self::TokenRequired => (StatusCode::UNAUTHORIZED, "token_required"),
            Self::SignInRequired => (StatusCode::UNAUTHORIZED, "sign_in_required"),
            Self::SignInFailed => (StatusCode::UNAUTHORIZED, "sign_in_failed"),
            Self::TokenExpired => (StatusCode::UNAUTHORIZED, "token_expired"),
            Self::TokenInvalid => (StatusCode::UNAUTHORIZED, "token_invalid"),
            Self::SessionEnded => (StatusCode::UNAUTHORIZED, "session_ended"),
            Self::ApiKeyInvalid => (StatusCode::UNAUTHORIZED, "api_key_invalid"),
            Self::Forbidden | Self::CommentSearchForbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::CsrfTokenInvalid => (StatusCode::FORBIDDEN, "csrf_token_invalid"),
            Self::InvalidSignature => (StatusCode::UNAUTHORIZED, "invalid_signature"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::UploadTimeout => (StatusCode::REQUEST_TIMEOUT, "timeout"),
            Self::IdempotencyKeyInUse => (StatusCode::CONFLICT, "idempotency_key_in_use"),
            Self::LastAdmin => (StatusCode::CONFLICT, "last_admin"),
            Self::EmailTaken => (StatusCode::CONFLICT, "email_taken"),
            Self::NotAServiceAccount => (StatusCode::CONFLICT, "not_a_service_account"),
            Self::RequestTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::AlreadyFinal => (StatusCode::CONFLICT, "already_final"),
            Self::Superseded => (StatusCode::CONFLICT, "superseded"),
            Self::MatchCountChanged { .. } => (StatusCode::CONFLICT, "match_count_changed"),
            Self::NotFinal => (StatusCode::CONFLICT, "not_final"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::UnsupportedMediaType | Self::JsonRequired => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::IdempotencyKeyReused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")
            }
            Self::TooManyAttempts { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"),
            Self::TooManyRequests(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::OutcomeUnknown => (StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown"),
            Self::TemporalUnavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporal_unavailable")
            }
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
        }
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        self.status_and_code().1
    }

    /// Whether the caller, and not the service, is the reason.
    pub(crate) fn is_client_error(&self) -> bool {
        self.status_and_code().0.is_client_error()
    }

    /// Seconds after which a repeat is worth while.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts { seconds } => Some(*seconds),
            Self::TooManyRequests(exceeded) => Some(exceeded.seconds),
            Self::IdempotencyKeyInUse => Some(1),
            Self::Busy
            | Self::Unavailable(_)
            | Self::OutcomeUnknown
            | Self::TemporalUnavailable(_)
            | Self::Timeout => Some(5),
            _ => None,
        }
    }
}
