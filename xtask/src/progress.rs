//! Prints one line per step with its outcome and duration.
//!
//! On a terminal, a spinner is shown until the step ends. In a file or in CI, the line is printed when the step ends.
//! Write errors are ignored because a closed terminal must not prevent an orderly shutdown.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

use console::{StyledObject, style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Width of a step's text, which is followed by the duration.
const TEXT_WIDTH: usize = 62;
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

/// A step in progress. If it is dropped without an outcome, it is shown as failed.
pub(crate) struct Step {
    title: String,
    started: Instant,
    spinner: ProgressBar,
    ended: bool,
}

impl Step {
    /// Begins a step that produces no output of its own.
    pub(crate) fn begin(title: impl Into<String>) -> Self {
        let step = Self::new(title.into(), ProgressDrawTarget::stdout());
        if !step.spinner.is_hidden() {
            step.spinner.enable_steady_tick(REDRAW_INTERVAL);
        }
        step
    }

    /// Begins a step whose output is printed below the title.
    pub(crate) fn begin_streaming(title: impl Into<String>) -> Self {
        let step = Self::new(title.into(), ProgressDrawTarget::hidden());
        print(format!("\n{} {}", style("▸").dim(), step.title));
        step
    }

    fn new(title: String, target: ProgressDrawTarget) -> Self {
        let template = ProgressStyle::with_template("… {wide_msg} {time}").expect("a template");
        let time = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            let _ = write!(text, "{}", seconds(state.elapsed()));
        };
        let spinner = ProgressBar::with_draw_target(None, target)
            .with_style(template.with_key("time", time))
            .with_message(title.clone());
        Self { title, started: Instant::now(), spinner, ended: false }
    }

    pub(crate) fn done(mut self, outcome: impl Display) {
        self.end(style("✓").green(), &outcome.to_string());
    }

    pub(crate) fn warn(mut self, outcome: impl Display) {
        self.end(style("!").yellow(), &outcome.to_string());
    }

    pub(crate) fn fail(mut self, outcome: impl Display) {
        self.end(style("✗").red(), &outcome.to_string());
    }

    fn end(&mut self, mark: StyledObject<&str>, text: &str) {
        self.spinner.finish_and_clear();
        let time = style(seconds(self.started.elapsed())).dim();
        print(format!("{mark} {text:<TEXT_WIDTH$} {time}"));
        self.ended = true;
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            let title = std::mem::take(&mut self.title);
            self.end(style("✗").red(), &title);
        }
    }
}

pub(crate) fn print(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Prints an error and its causes to stderr.
pub(crate) fn print_error(error: &anyhow::Error) {
    let mut causes = error.chain().map(ToString::to_string);
    let mut text = causes.next().unwrap_or_default();
    for cause in causes {
        text.push_str(&format!("\n  because: {cause}"));
    }
    let _ = writeln!(std::io::stderr(), "\nerror: {text}");
}

pub(crate) fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    if whole < 60 {
        format!("{:5.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_seconds_then_minutes() {
        assert_eq!(seconds(Duration::from_millis(1_240)), "  1.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
