//! The rows of the fault table.

use super::report::RowReport;
use super::rows;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

pub struct Row {
    /// The row's number in `docs/reliability.md`.
    pub number: u8,
    pub fault: &'static str,
    run: fn() -> LocalBoxFuture<'static, RowReport>,
}

pub struct RowOutcome {
    /// The row's report, or the reason why the row could not be completed.
    pub report: Result<RowReport, String>,
    pub took: Duration,
}

impl RowOutcome {
    /// Whether the row was completed, at least one submission was acknowledged, and no invariant was violated.
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
    1 "The API is killed before the commit" rows::submission::killed_before_the_commit;
    2 "The API is killed between the commit and the 202 response, and the client retries"
        rows::submission::killed_before_the_response;
    3 "The API is killed between the 202 response and the start of the run"
        rows::run_start::killed_before_the_start;
    4 "Two sweepers compete for the same run" rows::run_start::two_sweepers;
    5 "Fifty requests with one Idempotency-Key, one with another body, and one after the key expired"
        rows::submission::one_key;
    6 "The worker is killed at every failpoint of every activity"
        rows::worker::killed_at_every_failpoint;
    7 "The worker is killed between LoopAI's response and the end of the activity"
        rows::worker::killed_after_the_response;
    8 "No worker is running while timers fire" rows::worker::down_while_timers_fire;
    9 "Temporal is down when submissions arrive, and is available later"
        rows::run_start::temporal_down;
    10 "MySQL is killed under load, resolves a deadlock and becomes read-only, and the connection pool is exhausted"
        rows::mysql::outages;
    11 "Each network link is slow, reset or half-open" rows::links::every_link;
    12 "LoopAI responds with 500 or 429, does not respond, breaks connections, or is flapping"
        rows::loopai::unavailable_and_busy;
    13 "LoopAI responds with HTML, truncated JSON, an unknown status, 50 MB or a redirect"
        rows::loopai::invalid_responses;
    14 "LoopAI never completes, or completes just before or just after the deadline" rows::loopai::around_the_deadline;
    15 "LoopAI responds to polls of an execution with 404" rows::loopai::forgotten_executions;
    16 "The mail server drops the connection after DATA" rows::mail::dropped_after_data;
    17 "The mail server rejects e-mails temporarily (421, greylisting) or permanently (550, 553)"
        rows::mail::refusals;
    18 "The mail server is down for a long time" rows::mail::down_for_long;
    19 "Staff cancel a submission during completion, twice at once, or while LoopAI is down"
        rows::staff::cancels;
    20 "Staff retry a submission twice at once, or while its run is in progress"
        rows::staff::retries;
    21 "Streams are cut mid-event and resumed at another replica, event ids are invalid, and readers stall"
        rows::stream::interruptions;
    22 "An upload is interrupted, the disk is full, a file is corrupted, or a file is orphaned"
        rows::storage::uploads_and_files;
    23 "The clock of the API's host is wrong by an hour" rows::clock::off_by_an_hour;
    24 "The workflow code changes" rows::deploy::workflow_code_changed;
    25 "API processes and workers are restarted one by one under load"
        rows::deploy::rolling_restart;
    26 "LoopAI responds with 500 to every request of 10 or 50 submissions, and accepts 50 others"
        rows::poisoned::among_healthy_submissions;
    27 "Operators send every signal and query with unexpected inputs, and then reset the run"
        rows::temporal_ui::unexpected_inputs;
    28 "A result is larger than the statements that MySQL accepts"
        rows::large_result::rejected_by_the_database;
    29 "MySQL fails over: open connections can only read, and new ones can write"
        rows::failover::to_a_replica;
    30 "One client holds as many connections, streams, slow bodies and forms as it may, while others submit and follow"
        rows::clients::one_greedy_client;
    31 "The worker is frozen for a minute, and then continues" rows::worker::frozen_for_a_minute;
    32 "A second API process uses the same database and another Temporal namespace"
        rows::other_namespace::second_process;
    33 "Staff erase submissions while a run is open, an e-mail is being sent or an export runs, and the API is killed at each step"
        rows::erasure::at_critical_moments;
};
