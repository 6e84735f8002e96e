//! How an activity fails. A failure is written into Temporal's history, so it carries a stable code
//! and nothing else; what really happened goes to the log.

use std::fmt;
use std::time::Duration;
use temporalio_common::error::ApplicationFailure;
use temporalio_sdk::activities::ActivityError;

/// Fails this attempt; the retry policy decides on the next. `delay` is the other side's own wish.
pub(crate) fn retryable(
    code: &'static str,
    detail: &dyn fmt::Display,
    delay: Option<Duration>,
) -> ActivityError {
    tracing::warn!(code, %detail, "activity attempt failed");
    let failure = ApplicationFailure::builder(code.to_owned())
        .type_name(code.to_owned())
        .maybe_next_retry_delay(delay)
        .build();
    ActivityError::Application(Box::new(failure))
}

/// Fails for good: no repetition can help.
pub(crate) fn hopeless(code: &'static str, detail: &dyn fmt::Display) -> ActivityError {
    tracing::error!(code, %detail, "activity failed for good");
    let failure = ApplicationFailure::builder(code.to_owned())
        .type_name(code.to_owned())
        .non_retryable(true)
        .build();
    ActivityError::Application(Box::new(failure))
}
