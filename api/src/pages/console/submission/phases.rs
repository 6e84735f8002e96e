//! How long each phase of a run took: waiting, the diagnosis by LoopAI, and the e-mail.

use crate::pages::context::ShownTime;
use crate::routes::staff::detail::{DeliveryBody, RunBody};
use chrono::{DateTime, TimeDelta, Utc};

/// Width of the chart. Positions and widths in it are whole numbers.
pub(super) const CHART_WIDTH: i64 = 1000;
/// The narrowest bar that can still be seen.
const MIN_WIDTH: i64 = 4;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunPhases {
    pub(super) run: i32,
    pub(super) phases: Vec<Phase>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Phase {
    /// `waiting`, `loopai` or `email`.
    pub(super) name: &'static str,
    pub(super) duration: TimeDelta,
    /// Whether the phase has not ended yet.
    pub(super) is_open: bool,
    /// Position and width of the bar, to scale.
    pub(super) x: i64,
    pub(super) width: i64,
}

/// Returns the phases of each run, oldest first. Each run has its own scale, because days may lie between two runs.
pub(super) fn phases(
    runs: &[RunBody],
    deliveries: &[DeliveryBody],
    now: DateTime<Utc>,
) -> Vec<RunPhases> {
    let of_run = |run: &RunBody| {
        // Copies that staff have sent again are not part of the run.
        let email = deliveries.iter().find(|delivery| delivery.run == run.number);
        RunPhases { run: run.number, phases: to_scale(&spans(run, email), now) }
    };
    runs.iter().map(of_run).collect()
}

struct Span {
    name: &'static str,
    start: DateTime<Utc>,
    end: Option<DateTime<Utc>>,
}

fn spans(run: &RunBody, email: Option<&DeliveryBody>) -> Vec<Span> {
    let (created, finished) = (run.created_at.utc(), run.finished_at.map(|at| at.utc()));
    let requested = run.requested_at.map(|at| at.utc());
    let waiting = Span { name: "waiting", start: created, end: requested.or(finished) };
    let loopai = requested.map(|start| Span { name: "loopai", start, end: finished });
    let email = email.map(|email| Span {
        name: "email",
        start: email.created_at.utc(),
        end: email.settled_at.map(|at| at.utc()),
    });
    [Some(waiting), loopai, email].into_iter().flatten().collect()
}

fn to_scale(spans: &[Span], now: DateTime<Utc>) -> Vec<Phase> {
    let first = spans.iter().map(|span| span.start).min().unwrap_or(now);
    let last = spans.iter().map(|span| span.end.unwrap_or(now)).max().unwrap_or(now);
    let total = (last - first).num_milliseconds().max(1);
    let phase = |span: &Span| {
        let duration = (span.end.unwrap_or(now) - span.start).max(TimeDelta::zero());
        let scaled = |length: TimeDelta| length.num_milliseconds() * CHART_WIDTH / total;
        let width = scaled(duration).clamp(MIN_WIDTH, CHART_WIDTH);
        let x = scaled(span.start - first).clamp(0, CHART_WIDTH - width);
        Phase { name: span.name, duration, is_open: span.end.is_none(), x, width }
    };
    spans.iter().map(phase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagflow_store::{DeliveryKind, DeliveryStatus};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_796_000_000 + seconds, 0).expect("a time")
    }

    fn run(requested: Option<i64>, finished: Option<i64>) -> RunBody {
        RunBody {
            number: 1,
            temporal_run_id: None,
            execution_id: None,
            created_at: at(0).into(),
            started_at: None,
            requested_at: requested.map(|seconds| at(seconds).into()),
            finished_at: finished.map(|seconds| at(seconds).into()),
        }
    }

    fn email(created: i64, settled: Option<i64>) -> DeliveryBody {
        DeliveryBody {
            id: "0197b2f2-0000-7000-8000-000000000001".parse().expect("an id"),
            run: 1,
            kind: DeliveryKind::Result.into(),
            status: DeliveryStatus::Sent.into(),
            attempts: 1,
            error_code: None,
            error_detail: None,
            created_at: at(created).into(),
            settled_at: settled.map(|seconds| at(seconds).into()),
        }
    }

    fn bars(run: RunBody, emails: &[DeliveryBody]) -> Vec<(&'static str, i64, i64, i64, bool)> {
        let mut found = phases(&[run], emails, at(100));
        let phases = found.remove(0).phases.into_iter();
        phases.map(|it| (it.name, it.x, it.width, it.duration.num_seconds(), it.is_open)).collect()
    }

    #[test]
    fn the_bars_of_a_finished_run_are_to_scale() {
        let found = bars(run(Some(10), Some(80)), &[email(80, Some(100))]);
        let expected = [
            ("waiting", 0, 100, 10, false),
            ("loopai", 100, 700, 70, false),
            ("email", 800, 200, 20, false),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_open_phase_lasts_until_now() {
        assert_eq!(bars(run(None, None), &[]), [("waiting", 0, 1000, 100, true)]);
        let diagnosing = [("waiting", 0, 500, 50, false), ("loopai", 500, 500, 50, true)];
        assert_eq!(bars(run(Some(50), None), &[]), diagnosing);
    }

    #[test]
    fn a_run_that_ended_before_its_request_only_waited() {
        assert_eq!(bars(run(None, Some(40)), &[]), [("waiting", 0, 1000, 40, false)]);
    }

    #[test]
    fn a_short_phase_can_be_seen_and_stays_inside_the_chart() {
        let found = bars(run(Some(0), Some(100)), &[email(100, Some(100))]);
        let expected = [
            ("waiting", 0, MIN_WIDTH, 0, false),
            ("loopai", 0, 1000, 100, false),
            ("email", CHART_WIDTH - MIN_WIDTH, MIN_WIDTH, 0, false),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_copy_sent_days_later_does_not_change_the_scale() {
        let copies = [email(80, Some(100)), email(500_000, Some(500_001))];
        assert_eq!(bars(run(Some(10), Some(80)), &copies).len(), 3);
        assert_eq!(bars(run(Some(10), Some(80)), &copies)[1].2, 700);
    }
}
