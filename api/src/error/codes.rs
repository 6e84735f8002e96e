//! Every error code of the API: its status, its meaning, and whether a retry makes sense.

use crate::error::{ApiError, ErrorCode};
use axum::http::StatusCode;

/// Each row is `code: status, "meaning";`. A code without a row does not compile.
macro_rules! error_codes {
    ($($code:ident: $status:ident, $meaning:literal;)+) => {
        fn status_and_meaning(code: ErrorCode) -> (StatusCode, &'static str) {
            match code {
                $(ErrorCode::$code => (StatusCode::$status, $meaning),)+
            }
        }
    };
}

error_codes! {
    InvalidSubmission: BAD_REQUEST, "The submission has errors; `details` lists all of them.";
    InvalidInput: BAD_REQUEST, "Fields are missing or invalid; `details` lists all of them.";
    InvalidJson: BAD_REQUEST, "The body is not a JSON object.";
    InvalidMultipart: BAD_REQUEST, "The body is not valid `multipart/form-data`.";
    InvalidGzip: BAD_REQUEST, "The body is not valid gzip, although `Content-Encoding` is `gzip`.";
    UploadIncomplete: BAD_REQUEST, "The connection broke before the body was complete.";
    InvalidIdempotencyKey: BAD_REQUEST,
        "`Idempotency-Key` is not one value of 1 to 255 visible ASCII characters.";
    ReasonRequired: BAD_REQUEST, "The reason is missing, or longer than 500 characters.";
    InvalidQuery: BAD_REQUEST,
        "Query parameters are unknown, repeated or invalid; `details` lists all of them.";
    InvalidCursor: BAD_REQUEST, "The cursor is not valid for a list in this order.";
    PageTooFar: BAD_REQUEST, "The page is too far from the start. Use `next_cursor`.";
    TokenRequired: UNAUTHORIZED, "The request has no token.";
    SignInRequired: UNAUTHORIZED, "The request has no credentials.";
    SignInFailed: UNAUTHORIZED, "The e-mail address or the password is incorrect.";
    TokenExpired: UNAUTHORIZED, "The access token has expired. Refresh it.";
    TokenInvalid: UNAUTHORIZED, "The token is not valid.";
    SessionEnded: UNAUTHORIZED, "The session has ended. Sign in again.";
    ApiKeyInvalid: UNAUTHORIZED, "The API key is unknown, revoked or expired.";
    InvalidSignature: UNAUTHORIZED,
        "The signature is wrong, or the timestamp is more than five minutes off.";
    Forbidden: FORBIDDEN, "The account does not have the permission.";
    CommentSearchForbidden: FORBIDDEN,
        "Searching comments requires the permission `clinical:read`.";
    CsrfTokenInvalid: FORBIDDEN,
        "With a session cookie, a request that changes data needs the session's `csrf_token` in \
         the header `X-CSRF-Token`.";
    NotFound: NOT_FOUND, "The resource does not exist, or the credentials do not grant access to it.";
    MethodNotAllowed: METHOD_NOT_ALLOWED, "The path does not support this method.";
    UploadTimeout: REQUEST_TIMEOUT, "The client took too long to send the body.";
    IdempotencyKeyInUse: CONFLICT, "The first request with this key is still being processed.";
    LastAdmin: CONFLICT, "The change would leave no enabled admin.";
    EmailTaken: CONFLICT, "Another account has this e-mail address.";
    NotAServiceAccount: CONFLICT, "Only enabled accounts with the role `service` have API keys.";
    AlreadyFinal: CONFLICT, "The submission has already ended.";
    NotFinal: CONFLICT, "The submission is still being processed. Cancel it first.";
    Superseded: CONFLICT, "The submission has since been retried, so the e-mail is out of date.";
    MatchCountChanged: CONFLICT,
        "The filter now matches a different number of submissions, returned as `matched`.";
    PreconditionFailed: PRECONDITION_FAILED,
        "`If-Match` does not contain the current `ETag`: the submission has been changed since it was read.";
    PreconditionRequired: PRECONDITION_REQUIRED, "The header `If-Match` is missing.";
    BodyTooLarge: PAYLOAD_TOO_LARGE, "The body is too large.";
    UnsupportedMediaType: UNSUPPORTED_MEDIA_TYPE, "The `Content-Type` is not supported.";
    UnsupportedContentEncoding: UNSUPPORTED_MEDIA_TYPE,
        "The `Content-Encoding` is not supported. `Accept-Encoding` in the response lists what is.";
    IdempotencyKeyReused: UNPROCESSABLE_ENTITY, "The key was used for a different submission.";
    TooManyAttempts: TOO_MANY_REQUESTS, "Too many failed sign-in attempts.";
    TooManyOpenSubmissions: TOO_MANY_REQUESTS,
        "Too many submissions for this e-mail address have not ended yet.";
    DailyLimitReached: TOO_MANY_REQUESTS,
        "Too many submissions for this e-mail address within 24 hours.";
    TooManyRequests: TOO_MANY_REQUESTS,
        "Too many requests from this client. The headers `RateLimit-Policy` and `RateLimit` show \
         the limits.";
    Internal: INTERNAL_SERVER_ERROR, "An error on our side. It is logged.";
    Busy: SERVICE_UNAVAILABLE, "Too many uploads are in progress.";
    Unavailable: SERVICE_UNAVAILABLE, "The database or the file storage does not respond.";
    OutcomeUnknown: SERVICE_UNAVAILABLE,
        "The request may have succeeded; the confirmation did not arrive in time.";
    TemporalUnavailable: SERVICE_UNAVAILABLE, "Temporal does not respond.";
    Timeout: SERVICE_UNAVAILABLE, "The response took too long.";
}

impl ErrorCode {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    pub(crate) fn status(self) -> StatusCode {
        status_and_meaning(self).0
    }

    /// The explanation in the API reference.
    pub(crate) fn meaning(self) -> &'static str {
        status_and_meaning(self).1
    }

    /// Whether responses with this code have the header `Retry-After`.
    pub(crate) fn has_retry_after(self) -> bool {
        self.status().is_server_error() && self != Self::Internal
            || matches!(
                self,
                Self::TooManyAttempts
                    | Self::DailyLimitReached
                    | Self::TooManyRequests
                    | Self::IdempotencyKeyInUse
            )
    }
}

impl ApiError {
    pub(crate) fn code(&self) -> &'static str {
        ErrorCode::from(self).as_str()
    }

    pub(crate) fn is_client_error(&self) -> bool {
        ErrorCode::from(self).status().is_client_error()
    }

    /// Seconds to wait before a retry.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts { seconds } | Self::DailyLimitReached { seconds } => {
                Some(*seconds)
            }
            Self::TooManyRequests(exceeded) => Some(exceeded.seconds),
            Self::IdempotencyKeyInUse => Some(1),
            _ => ErrorCode::from(self).has_retry_after().then_some(5),
        }
    }
}
