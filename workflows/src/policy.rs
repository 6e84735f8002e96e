//! All timeouts, retry policies and intervals used by the workflows.
//!
//! Each activity is first attempted once as a *local* activity, which adds one history event instead of six and needs
//! no task queue. If that attempt fails, the activity is scheduled as a regular activity, whose attempts and last
//! failure are shown in the Temporal UI. Retrying a regular activity adds no events. A failed poll is rescheduled only
//! if it is the final one. Otherwise, another poll follows anyway. See `docs/adr/0002-history-budget.md`.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use temporalio_workflow::{
    ActivityCloseTimeouts, ActivityOptions, LocalActivityOptions, RetryPolicy,
    WorkflowCancellationToken,
};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Timeout for a single attempt: up to 30 s for the request to LoopAI (docs/loopai.md), and the rest for the database.
const ATTEMPT_TIMEOUT: Duration = seconds(45);
/// Timeout for a single attempt to send an e-mail. It exceeds the sum of the mail client's timeouts (asserted by the
/// client), so every attempt can record its outcome.
pub const EMAIL_ATTEMPT_TIMEOUT: Duration = seconds(165);
/// Maximum interval between two diagnosis requests.
pub const MAX_REQUEST_BACKOFF: Duration = seconds(60);
/// RFC 5321, section 4.5.4.1, recommends retrying an e-mail for at least four to five days.
const EMAIL_RETRY_PERIOD: Duration = seconds(4 * 24 * 60 * 60);
/// Maximum time a local activity waits for a free worker slot.
const LOCAL_QUEUE_TIMEOUT: Duration = seconds(60);

/// Number of consecutive refused requests or polls after which a run fails.
pub const MAX_CONSECUTIVE_REFUSALS: u32 = 5;

/// When to poll an execution, and for how long. The schedule is part of a run's input, so changes to the settings
/// affect only new runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollSchedule {
    /// Milliseconds to wait before each poll. The last value repeats.
    pub waits_ms: Vec<u64>,
    /// Milliseconds from the first workflow task until the run times out.
    pub deadline_ms: u64,
}

impl PollSchedule {
    /// Returns the time to wait before poll number `polls + 1`. It is never zero, so a run cannot poll in a busy loop.
    pub fn wait_before(&self, polls: u32) -> Duration {
        let index = usize::try_from(polls).unwrap_or(usize::MAX);
        let wait = self.waits_ms.get(index).or(self.waits_ms.last()).copied().unwrap_or(60_000);
        Duration::from_millis(wait.max(1))
    }

    /// Returns the time from the first workflow task until the run times out.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

pub(crate) fn local(summary: &str) -> LocalActivityOptions {
    local_once(summary, ATTEMPT_TIMEOUT)
}

/// Cancelling the run must not stop the attempt to send the e-mail.
pub(crate) fn local_email(summary: &str) -> LocalActivityOptions {
    let mut options = local_once(summary, EMAIL_ATTEMPT_TIMEOUT);
    options.cancellation_token = Some(WorkflowCancellationToken::new());
    options
}

/// Cancelling the run must not prevent its end from being recorded.
pub(crate) fn local_end(summary: &str) -> LocalActivityOptions {
    let mut options = local_once(summary, ATTEMPT_TIMEOUT);
    options.cancellation_token = Some(WorkflowCancellationToken::new());
    options
}

fn local_once(summary: &str, limit: Duration) -> LocalActivityOptions {
    LocalActivityOptions::builder()
        .retry_policy(RetryPolicy::builder().maximum_attempts(1).build())
        .schedule_to_close_timeout(limit + LOCAL_QUEUE_TIMEOUT)
        .start_to_close_timeout(limit)
        .summary(summary.to_owned())
        .build()
}

/// Retries at intervals of 2, 4, 8, …, 60 s until `remaining` has elapsed.
pub(crate) fn durable_request(remaining: Duration) -> ActivityOptions {
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::ScheduleAndStartToClose {
        schedule_to_close: remaining.max(seconds(1)),
        start_to_close: ATTEMPT_TIMEOUT,
    })
    .retry_policy(backoff(seconds(2), MAX_REQUEST_BACKOFF))
    .summary("request a diagnosis".to_owned())
    .build()
}

/// Retries indefinitely, at intervals of 1, 2, 4, …, 30 s, because the record must not be lost even in a long database
/// outage.
pub(crate) fn durable_record(summary: &str) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(ATTEMPT_TIMEOUT)
        .retry_policy(backoff(seconds(1), seconds(30)))
        .cancellation_token(WorkflowCancellationToken::new())
        .summary(summary.to_owned())
        .build()
}

/// Retries at intervals of 5, 10, 20, …, 900 s for [`EMAIL_RETRY_PERIOD`]. The retries stop early only if the
/// `cancellation` token is cancelled. Cancelling the workflow does not stop them.
pub(crate) fn durable_email(
    summary: &str,
    cancellation: WorkflowCancellationToken,
) -> ActivityOptions {
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::ScheduleAndStartToClose {
        schedule_to_close: EMAIL_RETRY_PERIOD,
        start_to_close: EMAIL_ATTEMPT_TIMEOUT,
    })
    .retry_policy(backoff(seconds(5), seconds(900)))
    .cancellation_token(cancellation)
    .summary(summary.to_owned())
    .build()
}

fn backoff(first: Duration, longest: Duration) -> RetryPolicy {
    RetryPolicy::builder()
        .initial_interval(first)
        .backoff_coefficient(2.0)
        .maximum_interval(longest)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_poll_interval_repeats() {
        let schedule =
            PollSchedule { waits_ms: vec![5_000, 10_000, 60_000], deadline_ms: 3_600_000 };
        let waits: Vec<u64> = (0..5).map(|polls| schedule.wait_before(polls).as_secs()).collect();
        assert_eq!(waits, [5, 10, 60, 60, 60]);
    }

    #[test]
    fn a_zero_interval_is_raised_to_one_millisecond() {
        let schedule = PollSchedule { waits_ms: vec![0], deadline_ms: 0 };
        assert!(schedule.wait_before(3) > Duration::ZERO);
    }
}
