//! API errors:
//!
//! - Handlers, extractors and layers return an [`ApiError`]. Its response never contains internal details.
//! - A [`FieldError`] describes one invalid field of a submission, request body or query.
//!   [`ApiError::InvalidSubmission`], [`ApiError::InvalidInput`] and [`ApiError::InvalidQuery`] contain a request's
//!   field errors, of which the response lists at most [`field_errors::MAX_FIELD_ERRORS`].
//! - The `?` operator converts errors from other crates to [`ApiError`]. They are logged with the request id and the
//!   source location, but clients see only `unavailable` or `internal`. The text of a database error may contain
//!   patient data, so only its kind is logged (`StoreError::kind`).
//!
//! Each error has two texts: its variant's message, which is sent to the client, and its meaning in `codes`, which
//! appears in the API reference. The front end shows messages to patients, so a message first explains in plain words
//! what happened and what to do. Technical details for developers follow.
//!
//! `codes` contains the table of error codes, and `response` the body of error responses.

mod codes;
pub(crate) mod field_errors;
pub(crate) mod response;

pub(crate) use codes::STREAM_RETRY_SECONDS;

use crate::error::field_errors::{FieldError, SubmissionFieldError};
use crate::settings::MIB;
use axum::http::{HeaderName, HeaderValue};
use diagflow_store::{BlobError, EraseError, ExceededLimit, StoreError};
use std::panic::Location;
use strum::{Display, EnumDiscriminants, EnumIter, EnumString, IntoStaticStr, VariantNames};

pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// An error response. Each variant is also an [`ErrorCode`], whose text is the variant's name in snake case, such as
/// `invalid_submission`.
#[derive(Debug, thiserror::Error, EnumDiscriminants)]
#[cfg_attr(test, derive(EnumIter))]
#[strum_discriminants(
    name(ErrorCode),
    vis(pub),
    derive(Display, EnumIter, EnumString, IntoStaticStr, VariantNames),
    strum(serialize_all = "snake_case"),
    doc = "The stable code of an error response."
)]
pub(crate) enum ApiError {
    #[error("Your submission could not be accepted. Please correct the problems listed below.")]
    InvalidSubmission(Vec<SubmissionFieldError>),
    #[error("The request has errors. Please correct the problems listed below.")]
    InvalidInput(Vec<FieldError>),
    #[error(
        "We could not read your request. Please reload the page and try again. Details for developers: the body is not \
         a valid JSON object (line {line}, column {column}). Send JSON in UTF-8."
    )]
    InvalidJson {
        /// Line number, starting at 1.
        line: usize,
        /// Column number, starting at 1, or 0 for an empty line.
        column: usize,
    },
    #[error(
        "We could not read your request. Please reload the page and try again. Details for developers: the body is not \
         valid multipart/form-data. Let the HTTP client set the Content-Type with the boundary, and send the form \
         completely."
    )]
    InvalidMultipart,
    #[error(
        "We could not read your request. Please reload the page and try again. Details for developers: the form has \
         more than 64 KB before its first field or in the headers of a field, or more than 1,000 fields."
    )]
    FormTooComplex,
    #[error(
        "We could not read your request. Please try again. Details for developers: the body is not valid gzip. Send it \
         again, or send it without Content-Encoding."
    )]
    InvalidGzip,
    #[error("The upload was interrupted. Please send it again.")]
    UploadIncomplete,
    #[error(
        "We could not process your request. Please reload the page and try again. Details for developers: \
         Idempotency-Key must be a single value of 1 to 255 visible ASCII characters."
    )]
    InvalidIdempotencyKey,
    #[error("Give a reason of 1 to 500 characters.")]
    ReasonRequired,
    #[error("Repeat the submission's id in the confirm field. An erasure cannot be undone.")]
    ConfirmationRequired,
    #[error("The query parameters are not valid. Please correct the problems listed below.")]
    InvalidQuery(Vec<FieldError>),
    #[error("The cursor is not valid for this sort order. Start again without a cursor.")]
    InvalidCursor,
    /// The database would take too long to read this page.
    #[error(
        "Page numbers reach only the first 10,000 submissions. Use next_cursor, or narrow the filter."
    )]
    PageTooFar,
    #[error("An access token is required.")]
    TokenRequired,
    #[error("Please sign in.")]
    SignInRequired,
    /// The account does not exist, is disabled, or has a different password. The response does not reveal which.
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
    #[error("Your account may not search comments. Remove the `comments` filter.")]
    CommentSearchForbidden,
    #[error("Your account may not read deleted submissions. Remove the `deleted` filter.")]
    DeletedForbidden,
    #[error("Send the session's csrf_token in the X-CSRF-Token header.")]
    CsrfTokenInvalid,
    /// Also returned for resources that the caller may not read, so that the response does not reveal that they exist.
    #[error("Not found.")]
    NotFound,
    #[error("The photos, comments and result of this submission were deleted.")]
    Erased,
    /// A repeated request with the same key would return the revoked token.
    #[error(
        "We have already received your photos, but access to them on this page was blocked. We will send you the result by e-mail."
    )]
    TokenRevoked,
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
    #[error(
        "An e-mail about this submission is being sent. Please try again in {seconds} seconds."
    )]
    EmailInProgress { seconds: u64 },
    #[error("The filter now matches {matched} submissions. Check the list, and then try again.")]
    MatchCountChanged { matched: i64 },
    #[error(
        "Somebody else has changed the submission. Read it again, and then repeat your change."
    )]
    PreconditionFailed,
    #[error("Read the submission, and send its ETag in the If-Match header.")]
    PreconditionRequired,
    #[error(
        "Your request is too large (at most {limit}). If it contains photos, please choose fewer or smaller ones."
    )]
    BodyTooLarge {
        /// Human-readable size, such as `64 KB`.
        limit: String,
    },
    #[error(
        "We could not read your request. Please delete the cookies of this website, reload the page and try again. \
         Details for developers: the URL and the headers have more than 32 KB together, or there are more than 100 \
         headers."
    )]
    HeadersTooLarge,
    #[error(
        "We could not read your request. Please reload the page and try again. Details for developers: this \
         Content-Type is not supported. Send {accepted}."
    )]
    UnsupportedMediaType { accepted: &'static str },
    #[error(
        "We could not read your request. Please reload the page and try again. Details for developers: the \
         Content-Encoding {encoding} is not supported. Send the body as gzip, or without Content-Encoding."
    )]
    UnsupportedContentEncoding { encoding: String },
    #[error(
        "This form was already sent with other content. Please reload the page before you send it again. Details for \
         developers: this Idempotency-Key was used for a different submission."
    )]
    IdempotencyKeyReused,
    /// The limit applies to an account or a network. It is enforced even if the account does not exist.
    #[error("Too many failed attempts. Please try again later.")]
    TooManyAttempts { seconds: u64 },
    #[error(
        "Earlier submissions for this e-mail address are still being processed. Please wait for their results before \
         you send another one."
    )]
    TooManyOpenSubmissions,
    #[error(
        "There were too many submissions for this e-mail address in the last 24 hours. Please try again in {}.",
        hours(.seconds)
    )]
    DailyLimitReached { seconds: u64 },
    #[error("Too many requests. Please try again later.")]
    TooManyRequests(Box<RateLimitExceeded>),
    #[error("Too many connections are open. Close some of them, or try again later.")]
    TooManyConnections,
    /// The client or the account has too many open event streams.
    #[error("Too many event streams are open. Close some of them, or try again later.")]
    TooManyStreams,
    #[error("Something went wrong on our side. Please try again later.")]
    Internal(Cause),
    #[error("We are very busy at the moment. Please try again shortly.")]
    Busy,
    #[error("The service is not available at the moment. Please try again shortly.")]
    Unavailable(Cause),
    /// The operation may have succeeded, or may still succeed.
    #[error(
        "We could not confirm in time that your request was saved. If you sent photos, please wait for our e-mail \
         before you send them again. Details for developers: it is safe to repeat a submission with the same \
         Idempotency-Key."
    )]
    OutcomeUnknown,
    #[error("The workflow service is not available at the moment. Please try again shortly.")]
    TemporalUnavailable(Cause),
    #[error("The server took too long to respond. Please try again shortly.")]
    Timeout,
}

fn hours(seconds: &u64) -> String {
    match seconds.div_ceil(60 * 60) {
        0 | 1 => "an hour".to_owned(),
        hours => format!("{hours} hours"),
    }
}

/// Internal cause of a failed request, which is logged but never sent to the client.
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

/// Allows tests to iterate over all errors.
#[cfg(test)]
impl Default for Cause {
    fn default() -> Self {
        Self::new("a cause")
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

    /// Returns the error for a JSON body that cannot be parsed.
    pub(crate) fn invalid_json(error: &serde_json::Error) -> Self {
        Self::InvalidJson { line: error.line(), column: error.column() }
    }

    /// Returns the error for a body that is not a JSON object.
    pub(crate) fn not_an_object(error: &serde_json::Error) -> Self {
        match error.is_data() {
            true => Self::InvalidJson { line: 1, column: 1 },
            false => Self::invalid_json(error),
        }
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
    /// The `RateLimit-Policy` and `RateLimit` headers.
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

impl From<EraseError> for ApiError {
    #[track_caller]
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::Store(error) => error.into(),
            EraseError::Log(_) => Self::unavailable(error),
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
