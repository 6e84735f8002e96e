//! How an activity fails. A failure is written into Temporal's history, so it carries a stable code and
//! nothing else. The log adds a [`LogDetail`], which only has room for words of our own and for numbers: what
//! other parties say may hold personal data ("450 <ana@example.org>: rejected").

use crate::loopai::error::LoopAiError;
use diagflow_store::{BlobError, DeliveryId, Status, StoreError, SubmissionId};
use std::fmt;
use std::time::Duration;
use temporalio_common::error::ApplicationFailure;
use temporalio_sdk::activities::ActivityError;

/// What the log says beside the code. What can be made into one is listed here, with the reason why it
/// holds no personal data.
#[derive(Debug, Default)]
pub(crate) struct LogDetail(String);

impl fmt::Display for LogDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Written in the program.
impl From<&'static str> for LogDetail {
    fn from(words: &'static str) -> LogDetail {
        LogDetail(words.to_owned())
    }
}

/// Random.
impl From<SubmissionId> for LogDetail {
    fn from(id: SubmissionId) -> LogDetail {
        LogDetail(id.to_string())
    }
}

/// Random.
impl From<DeliveryId> for LogDetail {
    fn from(id: DeliveryId) -> LogDetail {
        LogDetail(id.to_string())
    }
}

/// A mail server's reply code, where there was a reply.
impl From<Option<u16>> for LogDetail {
    fn from(reply: Option<u16>) -> LogDetail {
        reply.map_or_else(LogDetail::default, |code| LogDetail(format!("reply {code}")))
    }
}

/// One of our own words.
impl From<Status> for LogDetail {
    fn from(status: Status) -> LogDetail {
        LogDetail(status.to_string())
    }
}

/// Its texts name status numbers, places in an answer, and faults of the network: never what was sent or
/// answered.
impl From<&LoopAiError> for LogDetail {
    fn from(error: &LoopAiError) -> LogDetail {
        LogDetail(error.to_string())
    }
}

/// Names a file by its digest.
impl From<&BlobError> for LogDetail {
    fn from(error: &BlobError) -> LogDetail {
        LogDetail(error.to_string())
    }
}

/// The kind alone: a database's own words quote values.
impl From<&StoreError> for LogDetail {
    fn from(error: &StoreError) -> LogDetail {
        LogDetail::from(match error {
            StoreError::Unavailable(_) => "no connection to the database",
            StoreError::Database(_) => "the database refused or lost a statement",
            StoreError::CommitUnknown(_) => "the answer to a commit was lost",
            StoreError::BlobsSwept => "bytes were swept",
            StoreError::Corrupt(_) => "a row cannot be read, or is not as it was found",
            StoreError::Migration(_) => "the database is of another version",
        })
    }
}

/// Fails this attempt; the retry policy decides on the next. `delay` is the other side's own wish.
pub(crate) fn retryable(
    code: &'static str,
    detail: impl Into<LogDetail>,
    delay: Option<Duration>,
) -> ActivityError {
    let detail = detail.into();
    tracing::warn!(code, %detail, "activity attempt failed");
    let failure = ApplicationFailure::builder(code.to_owned())
        .type_name(code.to_owned())
        .maybe_next_retry_delay(delay)
        .build();
    ActivityError::Application(Box::new(failure))
}

/// Fails for good: no repetition can help.
pub(crate) fn non_retryable(code: &'static str, detail: impl Into<LogDetail>) -> ActivityError {
    let detail = detail.into();
    tracing::error!(code, %detail, "activity failed for good");
    let failure = ApplicationFailure::builder(code.to_owned())
        .type_name(code.to_owned())
        .non_retryable(true)
        .build();
    ActivityError::Application(Box::new(failure))
}

pub(crate) fn records(error: StoreError) -> ActivityError {
    match error {
        StoreError::Corrupt(_) => non_retryable("records_unreadable", &error),
        error => retryable("records_unavailable", &error, None),
    }
}

pub(crate) fn storage(error: BlobError) -> ActivityError {
    retryable("file_storage_unavailable", &error, None)
}
