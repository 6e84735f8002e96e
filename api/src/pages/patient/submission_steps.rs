//! The steps of a submission: those that are done, the current one, and those still to come.

use chrono::{DateTime, Utc};
use diagflow_store::{Event, Status, Step, Submission};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    Current,
    Upcoming,
    Failed,
    Stopped,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct StepView {
    /// Name of the step's text.
    pub(super) name: &'static str,
    pub(super) progress: Progress,
    /// Icon, if it is not that of the progress.
    pub(super) icon: &'static str,
    /// Time at which the step was completed, or at which the current step began.
    pub(super) at: Option<DateTime<Utc>>,
}

impl StepView {
    fn new(name: &'static str, progress: Progress, at: Option<DateTime<Utc>>) -> Self {
        let icon = match progress {
            Progress::Done => "tick",
            Progress::Current => "dots",
            Progress::Upcoming => "",
            Progress::Failed => "cross",
            Progress::Stopped => "slash",
        };
        Self { name, progress, icon, at }
    }

    pub(super) fn is_current(&self) -> bool {
        self.progress == Progress::Current
    }

    /// The part of the class name, and of the text for screen readers.
    pub(super) fn progress_name(&self) -> &'static str {
        match self.progress {
            Progress::Done => "done",
            Progress::Current => "current",
            Progress::Upcoming => "upcoming",
            Progress::Failed => "failed",
            Progress::Stopped => "stopped",
        }
    }
}

/// Returns the steps of the submission's latest run, and its receipt.
pub(super) fn steps(submission: &Submission, events: &[Event]) -> Vec<StepView> {
    use Progress::{Current, Done, Upcoming};
    let restart = events.iter().rposition(|event| event.step == Step::Retried);
    let run = &events[restart.unwrap_or(0)..];
    let at = |step| run.iter().find(|event| event.step == step).map(|it| it.created_at.into());
    let began = at(Step::Diagnosing);
    let mut steps = vec![StepView::new("received", Done, Some(submission.created_at.into()))];
    if restart.is_some() {
        steps.push(StepView::new("restarted", Done, at(Step::Retried)));
    }
    let waited = at(Step::Waiting);
    if submission.status == Status::Pending {
        let waiting = StepView::new("waiting", Current, waited);
        steps.push(StepView { icon: "clock", ..waiting });
    } else if waited.is_some() && began.is_some() {
        steps.push(StepView::new("waited", Done, began));
    }
    match submission.status {
        Status::Pending => {
            steps.push(StepView::new("diagnosis", Upcoming, None));
            steps.push(StepView::new("result", Upcoming, None));
        }
        Status::Processing => {
            steps.push(StepView::new("diagnosing", Current, began));
            steps.push(StepView::new("result", Upcoming, None));
        }
        Status::Completed => {
            steps.push(StepView::new("diagnosed", Done, at(Step::Completed)));
            steps.push(StepView::new("ready", Done, submission.finished_at.map(DateTime::from)));
        }
        Status::Failed | Status::TimedOut | Status::Cancelled => {
            if began.is_some() {
                steps.push(StepView::new("begun", Done, began));
            }
            steps.push(end(submission));
        }
    }
    steps
}

fn end(submission: &Submission) -> StepView {
    let at = submission.finished_at.map(DateTime::from);
    match submission.status {
        Status::TimedOut => {
            let step = StepView::new("timed_out", Progress::Failed, at);
            StepView { icon: "hourglass", ..step }
        }
        Status::Cancelled => StepView::new("cancelled", Progress::Stopped, at),
        _ => StepView::new("failed", Progress::Failed, at),
    }
}
