//! Which error type belongs where:
//!
//! - [`ApiError`] is what a handler returns. Every refusal that a client can meet is a variant; its
//!   comment gives the status, `code()` the stable code. Nothing internal is ever in an answer.
//! - [`FieldError`] is one thing that is wrong with a submission, or with another request; all of
//!   them together are one [`ApiError::InvalidSubmission`] or [`ApiError::InvalidInput`].
//! - `StoreError`, `BytesError` and everything else of other crates become an `ApiError` by `?`, are
//!   logged here with the request's id, and show as `unavailable` or `internal`. Of a database's error
//!   only the kind is logged ([`kind`]): its text may repeat what a patient sent.
//!
//! `codes` has the table of statuses and codes, `response` what a client gets.

mod codes;
pub(crate) mod field_errors;
pub(crate) mod response;

use crate::error::field_errors::FieldError;
use axum::http::{HeaderName, HeaderValue};
use diagflow_store::{BlobError, StoreError};
use diesel::result::Error as DieselError;

/// Result of a handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// A refusal. See the head of this file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// 400: what is wrong with the submission, all of it.
    #[error("Your submission could not be accepted. Please correct what is listed.")]
    InvalidSubmission(Vec<FieldError>),
    /// 400: what is wrong with the fields of a request of staff, all of it.
    #[error("The request could not be accepted. Please correct what is listed.")]
    InvalidInput(Vec<FieldError>),
    /// 400: no JSON object.
    #[error("The body is not a valid JSON object (line {line}, column {column}).")]
    InvalidJson {
        /// From 1.
        line: usize,
        /// From 1; 0 in an empty line.
        column: usize,
    },
    /// 400: not readable as `multipart/form-data`.
    #[error("The body is not valid multipart/form-data.")]
    InvalidMultipart,
    /// 400: the upload ended before its end.
    #[error("The upload was cut off. Please send it again.")]
    UploadIncomplete,
    /// 400: no, or more than one, key of 1 to 255 visible ASCII characters.
    #[error("Idempotency-Key must be one text of 1 to 255 visible ASCII characters.")]
    InvalidIdempotencyKey,
    /// 400: a change that needs a reason, and has none of 1 to 500 characters.
    #[error("Please give a reason of 1 to 500 characters.")]
    ReasonRequired,
    /// 400: what is wrong with the query parameters, all of it.
    #[error("The query parameters are not valid. Please correct what is listed.")]
    InvalidQuery(Vec<FieldError>),
    /// 400: no cursor of ours, or one of another sort.
    #[error("This cursor does not belong to a list with this sort.")]
    InvalidCursor,
    /// 400: a page so far from the beginning that it takes too long to get there.
    #[error("This page is too far from the beginning. Go on by next_cursor, or narrow the filter.")]
    PageTooFar,
    /// 401: neither a Bearer token nor the cookie.
    #[error("An access token is required.")]
    TokenRequired,
    /// 401: a route for people and programs with an account, and the request brings nothing.
    #[error("Please sign in.")]
    SignInRequired,
    /// 401: no such account, it is disabled, or the password is another one: the three are not told apart.
    #[error("The e-mail address or the password is not right.")]
    SignInFailed,
    /// 401: the access token is too old; a refresh gives a new one.
    #[error("The access token has expired. Refresh it, or sign in again.")]
    TokenExpired,
    /// 401: no access token of ours, or a changed one.
    #[error("The access token is not valid. Please sign in again.")]
    TokenInvalid,
    /// 401: signed out, ended by an admin, idle for too long, too old, or the account is disabled.
    #[error("The session has ended. Please sign in again.")]
    SessionEnded,
    /// 401: no API key of ours, revoked, expired, or the account is disabled.
    #[error("The API key is not valid.")]
    ApiKeyInvalid,
    /// 401: a call-back that is not signed, signed wrongly, or too old.
    #[error("The signature or the time stamp is not valid.")]
    InvalidSignature,
    /// 403: signed in, but the role has no permission for this.
    #[error("Your account may not do this.")]
    Forbidden,
    /// 403: a filter by words in the comments, from somebody who may not read comments.
    #[error("Your account may not search comments, since it may not read them. Leave words out.")]
    CommentSearchForbidden,
    /// 403: a change by cookie that does not bring the session's token against forged requests.
    #[error("Send the session's csrf_token in the header X-CSRF-Token.")]
    CsrfTokenInvalid,
    /// 404: nothing there, or nothing that this token opens: the two are not told apart.
    #[error("Not found")]
    NotFound,
    /// 405: the path exists, the method does not.
    #[error("This method is not allowed here.")]
    MethodNotAllowed,
    /// 408: the upload took longer than allowed.
    #[error("The upload took too long. Please try again.")]
    UploadTimeout,
    /// 409: the request that first used this key is still being worked on.
    #[error("The same request is still being worked on. Please repeat it in a moment.")]
    IdempotencyKeyInUse,
    /// 409: a change that would leave the service without an enabled admin.
    #[error("This is the last admin: make another account an admin first.")]
    LastAdmin,
    /// 409: an address that another account has.
    #[error("Another account has this e-mail address.")]
    EmailTaken,
    /// 409: API keys are for enabled accounts of programs.
    #[error("Only an enabled account with the role service has API keys.")]
    NotAServiceAccount,
    /// 409: the submission has ended, and cannot be called off any more.
    #[error("The submission has ended already.")]
    AlreadyFinal,
    /// 409: the e-mail tells what does not hold any more.
    #[error("The submission was set going again since; this e-mail would tell old news.")]
    Superseded,
    /// 409: not as many submissions as the dry run counted.
    #[error("The filter matches {matched} submissions now. Please look again.")]
    MatchCountChanged {
        /// How many it matches now.
        matched: i64,
    },
    /// 413: more bytes than any request to this route has.
    #[error("The body is too large (at most {limit_kib} KB).")]
    RequestTooLarge {
        /// Most kibibytes.
        limit_kib: usize,
    },
    /// 409: something still happens by itself to this submission.
    #[error("This submission is not in a final state yet. Cancel it first.")]
    NotFinal,
    /// 413: more bytes than any valid submission has.
    #[error("The body is too large (at most {limit_mib} MB).")]
    BodyTooLarge {
        /// Most mebibytes.
        limit_mib: usize,
    },
    /// 415: neither JSON nor multipart.
    #[error("Send application/json or multipart/form-data.")]
    UnsupportedMediaType,
    /// 415: not JSON, where nothing else is taken.
    #[error("Send application/json.")]
    JsonRequired,
    /// 422: the key was used for another body.
    #[error("This Idempotency-Key was used for another submission.")]
    IdempotencyKeyReused,
    /// 429: too many failed attempts at this account, or from this network, known or not.
    #[error("Too many failed attempts. Please try again later.")]
    TooManyAttempts {
        /// Until the next one may be made.
        seconds: u64,
    },
    /// 429: more requests than one client may send.
    #[error("Too many requests. Please try again later.")]
    TooManyRequests(Box<RateLimitExceeded>),
    /// 500: our fault. Logged; the text is for the log only.
    #[error("Something went wrong on our side.")]
    Internal(String),
    /// 503: too many uploads at once.
    #[error("We are very busy at the moment. Please try again shortly.")]
    Busy,
    /// 503: database or file storage do not answer. Logged; the text is for the log only.
    #[error("The service is not available at the moment. Please try again shortly.")]
    Unavailable(String),
    /// 503: a submission was received whole, but storing it took too long to wait for; it goes on.
    #[error(
        "We could not confirm in time that your submission is stored. Repeat it with the same \
         Idempotency-Key; without one, wait for our e-mail before you send it again."
    )]
    OutcomeUnknown,
    /// 503: Temporal does not answer. Logged; the text is for the log only.
    #[error("The workflow service is not available at the moment. Please try again shortly.")]
    TemporalUnavailable(String),
    /// 503: no answer within the time limit.
    #[error("The answer took too long. Please try again shortly.")]
    Timeout,
}

/// What a client is told that sent too much.
#[derive(Debug)]
pub(crate) struct RateLimitExceeded {
    /// Until the next request may be sent.
    pub(crate) seconds: u64,
    /// What it may, and where it stands.
    pub(crate) headers: [(HeaderName, HeaderValue); 2],
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(_) => Self::Internal(kind(&error)),
            StoreError::CommitUnknown(_) => Self::OutcomeUnknown,
            _ => Self::Unavailable(kind(&error)),
        }
    }
}

/// What a log may say of a failed store call. Databases quote values ("Duplicate entry 'x'"), and so do
/// the readers of rows; where no connection came, nothing was sent that could be quoted.
pub(crate) fn kind(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable(_) | StoreError::CommitUnknown(_) | StoreError::BlobsSwept => {
            error.to_string()
        }
        StoreError::Database(DieselError::DatabaseError(kind, _)) => format!("database: {kind:?}"),
        StoreError::Database(_) => {
            "database: the statement or its answer is not as it must be".into()
        }
        StoreError::Corrupt(_) => "broken record".into(),
        StoreError::Migration(_) => "migration".into(),
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Storage(_) => Self::Unavailable(error.to_string()),
            _ => Self::Internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::result::DatabaseErrorKind;

    #[test]
    fn database_values_are_not_logged() {
        let text = || Box::new("Duplicate entry 'ana@example.org'".to_owned());
        let refused = DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, text());
        let unread = DieselError::DeserializationError("ana@example.org is no number".into());
        for (error, expected) in [
            (StoreError::Database(refused), "UniqueViolation"),
            (StoreError::Database(unread), "database"),
            (StoreError::Corrupt("result: ana@example.org".to_owned()), "broken record"),
        ] {
            let (ApiError::Internal(cause) | ApiError::Unavailable(cause)) = ApiError::from(error)
            else {
                panic!("{expected} is logged");
            };
            assert!(cause.contains(expected) && !cause.contains("ana@"), "{cause}");
        }
    }
}
