//! The rows of the fault table.

use super::report::RowReport;
use super::rows;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

pub struct Row {
    /// The number of the row in `docs/reliability.md`.
    pub number: u8,
    pub fault: &'static str,
    run: fn() -> LocalBoxFuture<'static, RowReport>,
}

pub struct RowOutcome {
    /// `Err` contains the reason why the row could not be completed.
    pub report: Result<RowReport, String>,
    pub took: Duration,
}

impl RowOutcome {
    /// Whether the row was completed, at least one submission was acknowledged, and no invariant
    /// was violated.
    pub fn passed(&self) -> bool {
        let is_whole = |report: &RowReport| report.submissions > 0 && report.violations.is_empty();
        self.report.as_ref().is_ok_and(is_whole)
    }
}

impl Row {
    pub async fn run(&self) -> RowOutcome {
        let started = Instant::now();
        let report = AssertUnwindSafe((self.run)()).catch_unwind().await.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "the row panicked".to_owned())
        });
        RowOutcome { report, took: started.elapsed() }
    }
}

macro_rules! rows {
    ($($number:literal $fault:literal $run:path;)*) => {
        &[$(Row { number: $number, fault: $fault, run: || Box::pin($run()) },)*]
    };
}

pub const ROWS: &[Row] = rows! {
    1 "API killed before the commit" rows::submission::killed_before_the_commit;
    2 "API killed between commit and 202, client retries" rows::submission::killed_before_the_response;
    3 "API killed between 202 and the start of the run" rows::run_start::killed_before_the_start;
    4 "two sweepers compete for the same run" rows::run_start::two_sweepers;
    5 "same Idempotency-Key: 50 requests at once, with another body, after expiry" rows::submission::one_key;
    6 "worker killed at every failpoint of every activity" rows::worker::killed_at_every_failpoint;
    7 "worker killed between LoopAI's response and the activity's end" rows::worker::killed_after_the_response;
    8 "no worker while timers fire" rows::worker::down_while_timers_fire;
    9 "Temporal down during submission, and available later" rows::run_start::temporal_down;
    10 "MySQL killed under load, deadlock, pool exhausted, read-only" rows::mysql::outages;
    11 "slow, reset and half-open connections on each link" rows::links::every_link;
    12 "LoopAI: 500, 429, no response, broken connections, flapping" rows::loopai::unavailable_and_busy;
    13 "LoopAI: HTML, truncated JSON, unknown status, 50 MB, redirect" rows::loopai::invalid_responses;
    14 "LoopAI never completes, or completes just before or just after the deadline" rows::loopai::around_the_deadline;
    15 "LoopAI's execution becomes 404" rows::loopai::forgotten_executions;
    16 "mail server drops the connection after DATA" rows::mail::dropped_after_data;
    17 "mail server: 421, greylisting, 550, address rejected" rows::mail::refusals;
    18 "mail server down for a long time" rows::mail::down_for_long;
    19 "cancelled during completion, twice, and while LoopAI is down" rows::staff::cancels;
    20 "retried twice at once, and while running" rows::staff::retries;
    21 "stream cut mid-event, resumed on another replica, invalid event ids, stalled readers" rows::stream::interruptions;
    22 "upload interrupted, disk full, file corrupted, file orphaned" rows::storage::uploads_and_files;
    23 "clock of the API's host wrong by an hour" rows::clock::off_by_an_hour;
    24 "workflow code changed" rows::deploy::workflow_code_changed;
    25 "API and worker restarted one by one under load" rows::deploy::rolling_restart;
};
