//! How an activity fails. The failure is written into Temporal's history, so it carries a stable code and nothing
//! else. The log adds a [`LogDetail`].

use crate::loopai::error::LoopAiError;
use diagflow_store::{BlobError, DeliveryId, FailureCode, Status, StoreError, SubmissionId};
use std::fmt;
use std::time::Duration;
use temporalio_common::error::ApplicationFailure;
use temporalio_sdk::activities::ActivityError;

/// What the log shows beside the code. Texts from outside may hold personal data ("450 <ana@example.org>:
/// rejected"), so a detail can only be made from the types below, each of which holds none.
#[derive(Debug, Default)]
pub(crate) struct LogDetail(String);

impl fmt::Display for LogDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&'static str> for LogDetail {
    fn from(text: &'static str) -> LogDetail {
        LogDetail(text.to_owned())
    }
}

impl From<SubmissionId> for LogDetail {
    fn from(id: SubmissionId) -> LogDetail {
        LogDetail(id.to_string())
    }
}

impl From<DeliveryId> for LogDetail {
    fn from(id: DeliveryId) -> LogDetail {
        LogDetail(id.to_string())
    }
}

/// An SMTP reply code.
impl From<Option<u16>> for LogDetail {
    fn from(reply: Option<u16>) -> LogDetail {
        reply.map_or_else(LogDetail::default, |code| LogDetail(format!("reply {code}")))
    }
}

impl From<Status> for LogDetail {
    fn from(status: Status) -> LogDetail {
        LogDetail(status.to_string())
    }
}

/// Its texts contain HTTP status codes, positions in a response and network errors, but nothing that was sent or
/// received.
impl From<&LoopAiError> for LogDetail {
    fn from(error: &LoopAiError) -> LogDetail {
        LogDetail(error.to_string())
    }
}

/// Identifies a file by its digest.
impl From<&BlobError> for LogDetail {
    fn from(error: &BlobError) -> LogDetail {
        LogDetail(error.to_string())
    }
}

/// Only the kind: the database's own error texts quote values.
impl From<&StoreError> for LogDetail {
    fn from(error: &StoreError) -> LogDetail {
        LogDetail(error.kind())
    }
}

/// Fails this attempt; the retry policy schedules the next one, after `delay` if there is one.
pub(crate) fn retryable(
    code: FailureCode,
    detail: impl Into<LogDetail>,
    delay: Option<Duration>,
) -> ActivityError {
    tracing::warn!(%code, detail = %detail.into(), "activity attempt failed");
    failure(code, true, delay)
}

/// Fails the activity. It is not retried.
pub(crate) fn non_retryable(code: FailureCode, detail: impl Into<LogDetail>) -> ActivityError {
    tracing::error!(%code, detail = %detail.into(), "activity failed");
    failure(code, false, None)
}

fn failure(code: FailureCode, is_retryable: bool, delay: Option<Duration>) -> ActivityError {
    let failure = ApplicationFailure::builder(code.to_string())
        .type_name(code.to_string())
        .non_retryable(!is_retryable)
        .maybe_next_retry_delay(delay)
        .build();
    ActivityError::Application(Box::new(failure))
}

pub(crate) fn store_failure(error: StoreError) -> ActivityError {
    if error.is_retryable() {
        retryable(FailureCode::RecordsUnavailable, &error, None)
    } else {
        non_retryable(FailureCode::RecordsUnreadable, &error)
    }
}

pub(crate) fn blob_failure(error: BlobError) -> ActivityError {
    retryable(FailureCode::FileStorageUnavailable, &error, None)
}
