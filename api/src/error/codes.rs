//! All API error codes, with their HTTP status, meaning and retry delay.

use crate::error::{ApiError, ErrorCode};
use axum::http::StatusCode;

/// Number of seconds after which a client with too many open event streams may try again. Streams stay open for a long
/// time.
pub(crate) const STREAM_RETRY_SECONDS: u64 = 30;

/// Each row is `code: status, "meaning";`. A missing row is a compile error.
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
    InvalidSubmission: BAD_REQUEST, "The submission has errors; `details` lists at most 20 of them.";
    InvalidInput: BAD_REQUEST, "Fields are missing or invalid; `details` lists at most 20 of them.";
    InvalidJson: BAD_REQUEST, "The body is not a JSON object.";
    InvalidMultipart: BAD_REQUEST, "The body is not valid `multipart/form-data`.";
    FormTooComplex: BAD_REQUEST,
        "The form has more than 64 KB before its first field or in the headers of a field, or more than 1,000 fields.";
    InvalidGzip: BAD_REQUEST, "The body is not valid gzip, although `Content-Encoding` is `gzip`.";
    UploadIncomplete: BAD_REQUEST, "The connection broke before the body was complete.";
    InvalidIdempotencyKey: BAD_REQUEST,
        "`Idempotency-Key` is not a single value of 1 to 255 visible ASCII characters.";
    ReasonRequired: BAD_REQUEST, "The reason is missing, or longer than 500 characters.";
    ConfirmationRequired: BAD_REQUEST, "`confirm` is not the id of the submission.";
    InvalidQuery: BAD_REQUEST,
        "Query parameters are unknown, repeated or invalid; `details` lists at most 20 of them.";
    InvalidCursor: BAD_REQUEST, "The cursor is not valid for this sort order.";
    PageTooFar: BAD_REQUEST, "The page lies beyond the first 10,000 submissions. Use `next_cursor` instead.";
    TokenRequired: UNAUTHORIZED, "The request does not include an access token.";
    SignInRequired: UNAUTHORIZED, "The request does not include credentials.";
    SignInFailed: UNAUTHORIZED, "The e-mail address or the password is incorrect.";
    TokenExpired: UNAUTHORIZED, "The access token has expired. Refresh it.";
    TokenInvalid: UNAUTHORIZED, "The token is not valid.";
    SessionEnded: UNAUTHORIZED, "The session has ended. Sign in again.";
    ApiKeyInvalid: UNAUTHORIZED, "The API key is unknown, revoked or expired.";
    InvalidSignature: UNAUTHORIZED,
        "The signature is incorrect, or the timestamp differs from the current time by more than five minutes.";
    Forbidden: FORBIDDEN, "The account does not have the required permission.";
    CommentSearchForbidden: FORBIDDEN,
        "Searching comments requires the `clinical:read` permission.";
    DeletedForbidden: FORBIDDEN,
        "Reading deleted submissions requires the `submissions:delete` permission.";
    CsrfTokenInvalid: FORBIDDEN,
        "With a session cookie, a request that changes data needs the session's `csrf_token` in \
         the header `X-CSRF-Token`.";
    NotFound: NOT_FOUND, "The resource does not exist, or the credentials do not grant access to it.";
    Erased: GONE, "The personal data of the submission was erased.";
    TokenRevoked: GONE,
        "The key belongs to a submission whose access token was revoked. The result is sent by e-mail.";
    MethodNotAllowed: METHOD_NOT_ALLOWED, "The path does not support this method.";
    UploadTimeout: REQUEST_TIMEOUT, "The client took too long to send the body.";
    IdempotencyKeyInUse: CONFLICT, "The first request with this key is still being processed.";
    LastAdmin: CONFLICT, "The change would leave no enabled admin account.";
    EmailTaken: CONFLICT, "Another account has this e-mail address.";
    NotAServiceAccount: CONFLICT, "Only enabled accounts with the role `service` can have API keys.";
    AlreadyFinal: CONFLICT, "The submission has already ended.";
    NotFinal: CONFLICT, "The submission is still being processed. Cancel it first.";
    Superseded: CONFLICT, "The submission has since been retried, so the e-mail is out of date.";
    EmailInProgress: CONFLICT, "An e-mail about this submission is currently being sent.";
    MatchCountChanged: CONFLICT,
        "The filter now matches a different number of submissions, which is returned as `matched`.";
    PreconditionFailed: PRECONDITION_FAILED,
        "`If-Match` does not contain the current `ETag`: the submission has been changed since it was read.";
    PreconditionRequired: PRECONDITION_REQUIRED, "The `If-Match` header is missing.";
    BodyTooLarge: PAYLOAD_TOO_LARGE, "The body is too large.";
    HeadersTooLarge: REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The URL and the headers have more than 32 KB together, or there are more than 100 headers.";
    UnsupportedMediaType: UNSUPPORTED_MEDIA_TYPE, "The `Content-Type` is not supported.";
    UnsupportedContentEncoding: UNSUPPORTED_MEDIA_TYPE,
        "The `Content-Encoding` is not supported. The response header `Accept-Encoding` lists the supported encodings.";
    IdempotencyKeyReused: UNPROCESSABLE_ENTITY, "The key was used for a different submission.";
    TooManyAttempts: TOO_MANY_REQUESTS, "Too many failed sign-in attempts.";
    TooManyOpenSubmissions: TOO_MANY_REQUESTS,
        "Too many submissions for this e-mail address are still being processed.";
    DailyLimitReached: TOO_MANY_REQUESTS,
        "Too many submissions for this e-mail address were received in the last 24 hours.";
    TooManyRequests: TOO_MANY_REQUESTS,
        "Too many requests from this client. The headers `RateLimit-Policy` and `RateLimit` show \
         the limits.";
    TooManyConnections: TOO_MANY_REQUESTS,
        "This client has too many open connections. The new connection was closed before its request was read.";
    TooManyStreams: TOO_MANY_REQUESTS, "This client or account has too many open event streams.";
    Internal: INTERNAL_SERVER_ERROR, "An internal error occurred and was logged.";
    Busy: SERVICE_UNAVAILABLE, "Too many uploads are in progress, or too many connections are open.";
    Unavailable: SERVICE_UNAVAILABLE, "The database or the file storage is not responding.";
    OutcomeUnknown: SERVICE_UNAVAILABLE,
        "The request may have succeeded, but the confirmation did not arrive in time.";
    TemporalUnavailable: SERVICE_UNAVAILABLE, "Temporal is not responding.";
    Timeout: SERVICE_UNAVAILABLE, "The server took too long to respond.";
}

impl ErrorCode {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    pub(crate) fn status(self) -> StatusCode {
        status_and_meaning(self).0
    }

    /// Returns the explanation shown in the API reference.
    pub(crate) fn meaning(self) -> &'static str {
        status_and_meaning(self).1
    }

    pub(crate) fn has_retry_after(self) -> bool {
        self.status().is_server_error() && self != Self::Internal
            || matches!(
                self,
                Self::TooManyAttempts
                    | Self::DailyLimitReached
                    | Self::TooManyRequests
                    | Self::TooManyConnections
                    | Self::TooManyStreams
                    | Self::IdempotencyKeyInUse
                    | Self::EmailInProgress
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

    /// Whether the request may succeed once the database is available again.
    pub(crate) fn is_database_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::OutcomeUnknown)
    }

    /// Returns the number of seconds to wait before retrying.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts { seconds }
            | Self::DailyLimitReached { seconds }
            | Self::EmailInProgress { seconds } => Some(*seconds),
            Self::TooManyRequests(exceeded) => Some(exceeded.seconds),
            Self::IdempotencyKeyInUse => Some(1),
            Self::TooManyStreams => Some(STREAM_RETRY_SECONDS),
            _ => ErrorCode::from(self).has_retry_after().then_some(5),
        }
    }
}
