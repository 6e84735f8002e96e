//! The rows, and how one is played.

use super::judge::Violation;
use super::rows;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// What a fault left behind.
#[derive(Debug, Default)]
pub struct Report {
    /// Submissions that were acknowledged.
    pub submissions: usize,
    /// What does not hold.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Both together: of a row with several cases.
    #[must_use]
    pub fn and(mut self, other: Report) -> Report {
        self.submissions += other.submissions;
        self.violations.extend(other.violations);
        self
    }
}

/// A row of the table.
pub struct Row {
    /// Its number in `docs/reliability.md`.
    pub number: u8,
    /// What happens.
    pub fault: &'static str,
    play: fn() -> BoxFuture<'static, Report>,
}

/// How a row went.
pub struct Outcome {
    /// What was found; or why the row itself could not be played to its end.
    pub report: Result<Report, String>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Whether the fault was played, and every invariant holds.
    pub fn is_good(&self) -> bool {
        self.report.as_ref().is_ok_and(|report| report.violations.is_empty())
    }
}

impl Row {
    /// Plays it.
    pub async fn play(&self) -> Outcome {
        let begun = Instant::now();
        let report = AssertUnwindSafe((self.play)()).catch_unwind().await.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "it panicked".to_owned())
        });
        Outcome { report, took: begun.elapsed() }
    }
}

macro_rules! rows {
    ($($number:literal $fault:literal $play:path;)*) => {
        &[$(Row { number: $number, fault: $fault, play: || Box::pin($play()) },)*]
    };
}

/// All rows, in order.
pub const ROWS: &[Row] = rows! {
    1 "API killed before the commit" rows::submitting::killed_before_the_commit;
    2 "API killed between commit and 202, client repeats" rows::submitting::killed_before_the_answer;
    3 "API killed between 202 and the start of the run" rows::starting::killed_before_the_start;
    4 "two sweepers race for the same leftover" rows::starting::two_sweepers;
    5 "same Idempotency-Key: 50 at once, another body, after expiry" rows::submitting::one_key;
    6 "worker killed at every boundary of every activity" rows::worker::killed_at_every_boundary;
    7 "worker killed between LoopAI's answer and the activity's end" rows::worker::killed_after_the_answer;
    8 "no worker while timers fall due" rows::worker::away_while_timers_fall_due;
    9 "Temporal down at submit, back later" rows::starting::temporal_down;
};
