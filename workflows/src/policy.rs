//! Every timeout, retry policy and waiting time of the workflow.
//!
//! **Local first.** Each activity is tried once as a *local* activity: one history event instead of
//! six, and no round trip through the server's task queues. When that fails, it is scheduled as an
//! ordinary activity, whose attempts and last failure the Temporal UI shows, and whose retries cost no
//! further events. Polls are the exception: a failed one is simply followed by the next.
//! `docs/adr/0002-history-budget.md` has the figures.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use temporalio_workflow::{
    ActivityCloseTimeouts, ActivityOptions, LocalActivityOptions, RetryPolicy,
    WorkflowCancellationToken,
};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// LoopAI's own limit is 30 s for each call (docs/loopai.md); the rest is for our records.
const ATTEMPT_TIMEOUT: Duration = seconds(45);
/// Limit of one attempt at an e-mail. Longer than the mail client's own limits together (which it checks),
/// so that an attempt ends by itself and writes down what came of it.
pub const EMAIL_ATTEMPT_TIMEOUT: Duration = seconds(165);
/// The longest pause between two requests for a diagnosis.
pub const MAX_REQUEST_BACKOFF: Duration = seconds(60);
/// How long a mail server may refuse or be away before a delivery is given up: RFC 5321, 4.5.4.1
/// asks for four to five days. The one place of this rule: the mailer itself never gives up.
const EMAIL_RETRY_PERIOD: Duration = seconds(4 * 24 * 60 * 60);
/// How long an activity may wait for this worker's own attention.
const LOCAL_QUEUE_TIMEOUT: Duration = seconds(60);

/// Requests, or looks in a row, that LoopAI may refuse (401, 404 and the like) before the run is given up.
pub const MAX_CONSECUTIVE_REFUSALS: u32 = 5;

/// When to look at an execution, and until when. Part of the input, so that a run keeps the schedule
/// that it was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollSchedule {
    /// Milliseconds to wait before the first look, the second, and so on; the last one repeats.
    pub waits_ms: Vec<u64>,
    /// Milliseconds from the run's first step until it is given up.
    pub deadline_ms: u64,
}

impl PollSchedule {
    /// The wait before look number `polls + 1`. Never zero, so that a run cannot spin.
    pub fn wait_before(&self, polls: u32) -> Duration {
        let index = usize::try_from(polls).unwrap_or(usize::MAX);
        let wait = self.waits_ms.get(index).or(self.waits_ms.last()).copied().unwrap_or(60_000);
        Duration::from_millis(wait.max(1))
    }

    /// From the run's first step until it is given up.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

/// One local attempt at LoopAI or the records.
pub(crate) fn local(summary: &str) -> LocalActivityOptions {
    local_once(summary, ATTEMPT_TIMEOUT)
}

/// One local attempt at an e-mail.
pub(crate) fn local_email(summary: &str) -> LocalActivityOptions {
    let mut options = local_once(summary, EMAIL_ATTEMPT_TIMEOUT);
    options.cancellation_token = Some(WorkflowCancellationToken::new());
    options
}

/// One local attempt at recording an end, which a cancellation must not stop.
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

/// Asks LoopAI until `remaining` is over: 2, 4, 8 … 60 s apart.
pub(crate) fn durable_request(remaining: Duration) -> ActivityOptions {
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::ScheduleAndStartToClose {
        schedule_to_close: remaining.max(seconds(1)),
        start_to_close: ATTEMPT_TIMEOUT,
    })
    .retry_policy(backoff(seconds(2), MAX_REQUEST_BACKOFF))
    .summary("ask LoopAI for a diagnosis".to_owned())
    .build()
}

/// Works on the records until it succeeds: what it records must not be lost, however long the
/// database is away. 1, 2, 4 … 30 s apart.
pub(crate) fn durable_record(summary: &str) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(ATTEMPT_TIMEOUT)
        .retry_policy(backoff(seconds(1), seconds(30)))
        .cancellation_token(WorkflowCancellationToken::new())
        .summary(summary.to_owned())
        .build()
}

/// Sends an e-mail until the server takes it: 5, 10, 20 … 900 s apart, for [`EMAIL_RETRY_PERIOD`]. `cancellation`
/// is what ends it before that; a cancellation of the workflow does not.
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
