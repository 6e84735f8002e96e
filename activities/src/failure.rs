//! Activity failures. Temporal stores each failure in the workflow's history, so a failure contains only a stable code.
//! Its log entry also contains a [`LogDetail`].

use crate::loopai::error::LoopAiError;
use diagflow_store::{BlobError, DeliveryId, FailureCode, Status, StoreError, SubmissionId};
use std::fmt;
use std::time::Duration;
use temporalio_common::error::ApplicationFailure;
use temporalio_sdk::activities::ActivityError;

/// Extra information logged alongside a failure's code. Text from other systems may contain personal data ("450
/// <ana@example.org>: rejected"), so a `LogDetail` can only be created from types that contain none.
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

/// Creates a detail from an SMTP reply code.
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

/// A [`LoopAiError`] displays HTTP status codes, positions in a response and network errors, but never the data sent or
/// received.
impl From<&LoopAiError> for LogDetail {
    fn from(error: &LoopAiError) -> LogDetail {
        LogDetail(error.to_string())
    }
}

/// A [`BlobError`] identifies a file by its digest, not by its name.
impl From<&BlobError> for LogDetail {
    fn from(error: &BlobError) -> LogDetail {
        LogDetail(error.to_string())
    }
}

/// The detail contains only the kind of [`StoreError`] because database error messages may include stored values.
impl From<&StoreError> for LogDetail {
    fn from(error: &StoreError) -> LogDetail {
        LogDetail(error.kind())
    }
}

/// Logs a failed activity attempt and returns its error. The code determines whether Temporal retries the activity.
/// `delay` overrides the retry policy's backoff.
pub(crate) fn fail(
    code: FailureCode,
    detail: impl Into<LogDetail>,
    delay: Option<Duration>,
) -> ActivityError {
    let detail = detail.into();
    if code.is_retryable() {
        tracing::warn!(%code, %detail, "activity attempt failed");
    } else {
        tracing::error!(%code, %detail, "activity failed");
    }
    let failure = ApplicationFailure::builder(code.to_string())
        .type_name(code.to_string())
        .non_retryable(!code.is_retryable())
        .maybe_next_retry_delay(delay)
        .build();
    ActivityError::Application(Box::new(failure))
}

pub(crate) fn store_failure(error: StoreError) -> ActivityError {
    fail(error.failure_code(), &error, None)
}

pub(crate) fn blob_failure(error: BlobError) -> ActivityError {
    fail(FailureCode::FileStorageUnavailable, &error, None)
}
