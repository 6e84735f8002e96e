//! What a person sees: one line for each step, with its outcome and how long it took.
//!
//! On a terminal the line is drawn when the step begins and redrawn with the seconds that pass; elsewhere
//! (a file, CI) it is written once, when the step ends. Writing never fails: a terminal that was closed must
//! not keep anything from being stopped in order.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How wide the text of a step is before its time.
const TEXT_WIDTH: usize = 62;
/// How often a running step's seconds are redrawn.
const REDRAW_EVERY: Duration = Duration::from_millis(200);

/// A step under way. Dropped without an outcome, it has failed.
pub(crate) struct Step {
    title: String,
    started: Instant,
    drawn_at: Option<Instant>,
    style: Style,
    ended: bool,
}

impl Step {
    /// Begins a step whose work prints nothing by itself.
    pub(crate) fn begin(title: impl Into<String>) -> Self {
        let mut step = Self::new(title);
        step.tick();
        step
    }

    /// Begins a step whose work prints on its own below the title.
    pub(crate) fn begin_streaming(title: impl Into<String>) -> Self {
        let mut step = Self::new(title);
        write(&format!("\n{} {}\n", step.style.dim("▸"), step.title));
        step.style.redraws = false;
        step
    }

    fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            started: Instant::now(),
            drawn_at: None,
            style: Style::of_stdout(),
            ended: false,
        }
    }

    /// Redraws the seconds on a terminal; to be called from the loop that waits.
    pub(crate) fn tick(&mut self) {
        let fresh = self.drawn_at.is_some_and(|drawn_at| drawn_at.elapsed() < REDRAW_EVERY);
        if !self.style.redraws || fresh {
            return;
        }
        let line = self.line(&self.style.dim("…"), &self.title);
        write(&format!("\r\x1b[2K{line}"));
        self.drawn_at = Some(Instant::now());
    }

    /// Ends the step well, with what came of it.
    pub(crate) fn done(mut self, outcome: impl Display) {
        let mark = self.style.colour("32", "✓");
        self.end(&mark, &outcome.to_string());
    }

    /// Ends the step with something that a person should notice, though the work goes on.
    pub(crate) fn warn(mut self, outcome: impl Display) {
        let mark = self.style.colour("33", "!");
        self.end(&mark, &outcome.to_string());
    }

    /// Ends the step badly, with what came of it.
    pub(crate) fn fail(mut self, outcome: impl Display) {
        let mark = self.style.colour("31", "✗");
        self.end(&mark, &outcome.to_string());
    }

    fn end(&mut self, mark: &str, text: &str) {
        let erase = if self.style.redraws { "\r\x1b[2K" } else { "" };
        write(&format!("{erase}{}\n", self.line(mark, text)));
        self.ended = true;
    }

    fn line(&self, mark: &str, text: &str) -> String {
        let time = self.style.dim(&seconds(self.started.elapsed()));
        format!("{mark} {text:<TEXT_WIDTH$} {time}")
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            let mark = self.style.colour("31", "✗");
            let title = std::mem::take(&mut self.title);
            self.end(&mark, &title);
        }
    }
}

/// Prints a line of its own.
pub(crate) fn print(line: impl Display) {
    write(&format!("{line}\n"));
}

/// Prints a fault with all its causes to the error output.
pub(crate) fn print_error(error: &anyhow::Error) {
    let mut causes = error.chain().map(ToString::to_string);
    let mut text = causes.next().unwrap_or_default();
    for cause in causes {
        text.push_str(&format!("\n  because: {cause}"));
    }
    let _ = writeln!(std::io::stderr(), "\nerror: {text}");
}

/// Text in bold on a terminal that shows it.
pub(crate) fn bold(text: &str) -> String {
    Style::of_stdout().colour("1", text)
}

fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A time as people read it.
pub(crate) fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    if whole < 60 {
        format!("{:5.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

#[derive(Clone, Copy)]
struct Style {
    redraws: bool,
    colours: bool,
}

impl Style {
    fn of_stdout() -> Self {
        let terminal = std::io::stdout().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { redraws: terminal, colours: terminal && std::env::var_os("NO_COLOR").is_none() }
    }

    fn colour(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn dim(self, text: &str) -> String {
        self.colour("2", text)
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
