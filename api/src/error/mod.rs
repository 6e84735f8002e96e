//! The errors of the API:
//!
//! - [`ApiError`] is what handlers, extractors and layers return. Responses never contain internal text.
//! - [`FieldError`] is one error in a submission, a body or a query; [`ApiError::InvalidSubmission`],
//!   [`ApiError::InvalidInput`] and [`ApiError::InvalidQuery`] hold all of them.
//! - The operator `?` converts errors of other crates to an [`ApiError`]. They are logged with the request id and the
//!   source location, and clients see only `unavailable` or `internal`. For a database error, only the kind is logged
//!   (`StoreError::kind`), because its text may contain patient data.
//!
//! Each error has two texts: the message of its variant is for the client that sent the request, and its meaning in
//! `codes` is for readers of the API reference.
//!
//! `codes` contains the table of error codes, and `response` the body of error responses.

mod codes;
pub(crate) mod field_errors;
pub(crate) mod response;

use crate::error::field_errors::FieldError;
use crate::settings::MIB;
use axum::http::{HeaderName, HeaderValue};
use diagflow_store::{BlobError, ExceededLimit, StoreError};
use std::panic::Location;
use strum::{Display, EnumDiscriminants, EnumIter, EnumString, IntoStaticStr, VariantNames};

pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// An error response. Each variant is also an [`ErrorCode`], whose text is the name in snake case, such as
/// `invalid_submission`.
#[derive(Debug, thiserror::Error, EnumDiscriminants)]
#[strum_discriminants(
    name(ErrorCode),
    vis(pub),
    derive(Display, EnumIter, EnumString, IntoStaticStr, VariantNames),
    strum(serialize_all = "snake_case"),
    doc = "The stable code of an error response."
)]
pub(crate) enum ApiError {
    #[error("Your submission could not be accepted. Please correct the problems listed below.")]
    InvalidSubmission(Vec<FieldError>),
    #[error("The request has errors. Please correct the problems listed below.")]
    InvalidInput(Vec<FieldError>),
    #[error(
        "The body is not a valid JSON object (line {line}, column {column}). Send JSON in UTF-8."
    )]
    InvalidJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, or 0 in an empty line.
        column: usize,
    },
    #[error(
        "The body is not valid multipart/form-data. Let the HTTP client set the Content-Type with the boundary, and send \
         the form completely."
    )]
    InvalidMultipart,
    #[error("The body is not valid gzip. Send it again, or send it without Content-Encoding.")]
    InvalidGzip,
    #[error("The upload was interrupted. Please send it again.")]
    UploadIncomplete,
    #[error("Idempotency-Key must be one value of 1 to 255 visible ASCII characters.")]
    InvalidIdempotencyKey,
    #[error("Give a reason of 1 to 500 characters.")]
    ReasonRequired,
    #[error("The query parameters are not valid. Please correct the problems listed below.")]
    InvalidQuery(Vec<FieldError>),
    #[error("The cursor is not valid for a list in this order. Start again without a cursor.")]
    InvalidCursor,
    /// The database would take too long to read this page.
    #[error("This page is too far from the start. Use next_cursor, or narrow the filter.")]
    PageTooFar,
    #[error("An access token is required.")]
    TokenRequired,
    #[error("Please sign in.")]
    SignInRequired,
    /// The account does not exist, is disabled, or has another password: the response does not reveal which.
    #[error("The e-mail address or the password is incorrect.")]
    SignInFailed,
    #[error("The access token has expired. Refresh it, or sign in again.")]
    TokenExpired,
    #[error("The access token is not valid. Please sign in again.")]
    TokenInvalid,
    /// The user signed out, an admin ended the session or disabled the account, or the session expired.
    #[error("The session has ended. Please sign in again.")]
    SessionEnded,
    #[error("The API key is not valid.")]
    ApiKeyInvalid,
    #[error("The signature or the timestamp is not valid.")]
    InvalidSignature,
    #[error("Your account does not have permission for this.")]
    Forbidden,
    /// The filter would disclose comments to an account that may not read them.
    #[error("Your account may not search comments. Remove the filter `comments`.")]
    CommentSearchForbidden,
    #[error("Send the session's csrf_token in the header X-CSRF-Token.")]
    CsrfTokenInvalid,
    /// Also returned for resources that the caller may not read, so that the response does not reveal their existence.
    #[error("Not found.")]
    NotFound,
    #[error("This method is not allowed here.")]
    MethodNotAllowed,
    #[error("The upload took too long. Please try again.")]
    UploadTimeout,
    #[error("The same request is still being processed. Please repeat it in a moment.")]
    IdempotencyKeyInUse,
    #[error("This is the last admin. Make another account an admin first.")]
    LastAdmin,
    #[error("Another account has this e-mail address.")]
    EmailTaken,
    #[error("Only an enabled account with the role service can have API keys.")]
    NotAServiceAccount,
    #[error("The submission has already ended.")]
    AlreadyFinal,
    #[error("The submission is still being processed. Cancel it first.")]
    NotFinal,
    #[error("The submission has since been retried, so this e-mail is out of date.")]
    Superseded,
    #[error("The filter matches {matched} submissions now. Please check again.")]
    MatchCountChanged { matched: i64 },
    #[error(
        "Somebody else has changed the submission. Read it again, and then repeat your change."
    )]
    PreconditionFailed,
    #[error("Read the submission, and send its ETag in the header If-Match.")]
    PreconditionRequired,
    #[error("The body is too large (at most {limit}).")]
    BodyTooLarge {
        /// Human-readable size, such as `64 KB`.
        limit: String,
    },
    #[error("Send {accepted}.")]
    UnsupportedMediaType { accepted: &'static str },
    #[error(
        "This Content-Encoding is not supported. Send the body as gzip, or without Content-Encoding."
    )]
    UnsupportedContentEncoding,
    #[error("This Idempotency-Key was used for a different submission.")]
    IdempotencyKeyReused,
    /// Returned for an account or a network, regardless of whether the account exists.
    #[error("Too many failed attempts. Please try again later.")]
    TooManyAttempts { seconds: u64 },
    /// Limit per recipient.
    #[error(
        "Earlier submissions for this e-mail address are still being processed. Please wait for their results before \
         you send another one."
    )]
    TooManyOpenSubmissions,
    /// Limit per recipient.
    #[error(
        "There were too many submissions for this e-mail address in the last 24 hours. Please try again in {}.",
        hours(.seconds)
    )]
    DailyLimitReached { seconds: u64 },
    #[error("Too many requests. Please try again later.")]
    TooManyRequests(Box<RateLimitExceeded>),
    #[error("Something went wrong on our side. Please try again later.")]
    Internal(Cause),
    #[error("We are very busy at the moment. Please try again shortly.")]
    Busy,
    #[error("The service is not available at the moment. Please try again shortly.")]
    Unavailable(Cause),
    /// The operation may have succeeded, or may still succeed.
    #[error(
        "We could not confirm in time that your request was saved. Repeat a submission only with the \
         same Idempotency-Key; without one, wait for our e-mail before you send it again."
    )]
    OutcomeUnknown,
    #[error("The workflow service is not available at the moment. Please try again shortly.")]
    TemporalUnavailable(Cause),
    #[error("The response took too long. Please try again shortly.")]
    Timeout,
}

fn hours(seconds: &u64) -> String {
    match seconds.div_ceil(60 * 60) {
        0 | 1 => "an hour".to_owned(),
        hours => format!("{hours} hours"),
    }
}

/// The internal cause of a failed request, which is only logged.
#[derive(Debug)]
pub(crate) struct Cause {
    text: String,
    location: &'static Location<'static>,
}

impl Cause {
    #[track_caller]
    fn new(text: impl ToString) -> Self {
        Self { text: text.to_string(), location: Location::caller() }
    }
}

impl ApiError {
    #[track_caller]
    pub(crate) fn internal(cause: impl ToString) -> Self {
        Self::Internal(Cause::new(cause))
    }

    #[track_caller]
    pub(crate) fn unavailable(cause: impl ToString) -> Self {
        Self::Unavailable(Cause::new(cause))
    }

    #[track_caller]
    pub(crate) fn temporal_unavailable(cause: impl ToString) -> Self {
        Self::TemporalUnavailable(Cause::new(cause))
    }

    /// The error for a body that cannot be parsed.
    pub(crate) fn invalid_json(error: &serde_json::Error) -> Self {
        Self::InvalidJson { line: error.line(), column: error.column() }
    }

    pub(crate) fn body_too_large(limit: usize) -> Self {
        let limit = match limit {
            MIB.. => format!("{} MB", limit / MIB),
            _ => format!("{} KB", limit / 1024),
        };
        Self::BodyTooLarge { limit }
    }
}

#[derive(Debug)]
pub(crate) struct RateLimitExceeded {
    /// Seconds until the next request is allowed.
    pub(crate) seconds: u64,
    /// The headers `RateLimit-Policy` and `RateLimit`.
    pub(crate) headers: [(HeaderName, HeaderValue); 2],
}

impl From<StoreError> for ApiError {
    #[track_caller]
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::CommitUnknown(_) => Self::OutcomeUnknown,
            _ if !error.is_retryable() => Self::internal(error.kind()),
            _ => Self::unavailable(error.kind()),
        }
    }
}

impl From<ExceededLimit> for ApiError {
    fn from(limit: ExceededLimit) -> Self {
        match limit {
            ExceededLimit::Open => Self::TooManyOpenSubmissions,
            ExceededLimit::PerDay { retry_after } => {
                Self::DailyLimitReached { seconds: retry_after.as_secs() }
            }
        }
    }
}

impl From<BlobError> for ApiError {
    #[track_caller]
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Storage(_) => Self::unavailable(error),
            _ => Self::internal(error),
        }
    }
}
