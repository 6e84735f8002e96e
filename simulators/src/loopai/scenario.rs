//! Scenarios, which define the outcome, delay and faults of executions, and how often each of them applies.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// The outcome of an execution. The [parent module](super) describes each outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    #[default]
    Complete,
    Fail(String),
    Stuck,
    NoResult,
}

/// A faulty response. The [parent module](super) describes each fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Status {
        /// 400 to 599.
        code: u16,
        /// Seconds for the `Retry-After` header.
        retry_after: Option<u64>,
    },
    Hang,
    Reset,
    Drop,
    Cut,
    Html,
    Truncated,
    Unknown(String),
    NoId,
    /// Number of bytes.
    Huge(u64),
    Redirect,
    Slow(Duration),
}

/// A fault, and whether the request takes effect despite it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    pub fault: Fault,
    /// Whether a diagnose request creates an execution before the fault occurs, in which case only the response is
    /// lost.
    pub accept: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeated<T> {
    pub what: T,
    /// Number of times the item applies. `None` means no limit.
    pub times: Option<u32>,
}

/// A scenario. Its text form is documented in the [parent module](super). The entries in each list apply in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scenario {
    /// Time from an execution's creation to its end. `None` means the configured delay.
    pub delay: Option<Duration>,
    /// Outcomes, counted per execution.
    pub outcomes: Vec<Repeated<Outcome>>,
    /// Faults for diagnose requests, counted per request.
    pub diagnose: Vec<Repeated<Injection>>,
    /// Faults for status requests, counted per request.
    pub status: Vec<Repeated<Injection>>,
}

impl From<Scenario> for String {
    fn from(scenario: Scenario) -> Self {
        scenario.to_string()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items = Vec::new();
        items.extend(self.diagnose.iter().map(|rule| format!("diagnose={rule}")));
        items.extend(self.status.iter().map(|rule| format!("status={rule}")));
        items.extend(self.outcomes.iter().map(ToString::to_string));
        items.extend(self.delay.map(|delay| format!("delay={}", DurationText(delay))));
        f.write_str(&items.join(", "))
    }
}

impl<T: fmt::Display> fmt::Display for Repeated<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.times {
            Some(times) => write!(f, "{}*{times}", self.what),
            None => self.what.fmt(f),
        }
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.accept {
            f.write_str("accept+")?;
        }
        self.fault.fmt(f)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Fail(text) => write!(f, "fail={text}"),
            Self::Stuck => f.write_str("stuck"),
            Self::NoResult => f.write_str("no-result"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { code, retry_after: Some(seconds) } => write!(f, "{code}:{seconds}s"),
            Self::Status { code, .. } => code.fmt(f),
            Self::Hang => f.write_str("hang"),
            Self::Reset => f.write_str("reset"),
            Self::Drop => f.write_str("drop"),
            Self::Cut => f.write_str("cut"),
            Self::Html => f.write_str("html"),
            Self::Truncated => f.write_str("truncated"),
            Self::Unknown(word) => write!(f, "unknown:{word}"),
            Self::NoId => f.write_str("no-id"),
            Self::Huge(bytes) => write!(f, "huge:{}KB", bytes / 1000),
            Self::Redirect => f.write_str("redirect"),
            Self::Slow(delay) => write!(f, "slow:{}", DurationText(*delay)),
        }
    }
}

struct DurationText(Duration);

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// A scenario, with the current position in each of its lists.
#[derive(Clone, Debug, Default)]
pub(super) struct ScenarioState {
    scenario: Scenario,
    outcomes: RuleCursor,
    diagnose: RuleCursor,
    status: RuleCursor,
}

impl ScenarioState {
    pub(super) fn new(scenario: Scenario) -> Self {
        Self { scenario, ..Self::default() }
    }

    pub(super) fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    pub(super) fn next_outcome(&mut self) -> Outcome {
        let next = self.outcomes.next(&self.scenario.outcomes);
        next.cloned().unwrap_or_default()
    }

    pub(super) fn next_diagnose_fault(&mut self) -> Option<Injection> {
        self.diagnose.next(&self.scenario.diagnose).cloned()
    }

    pub(super) fn next_status_fault(&mut self) -> Option<Injection> {
        self.status.next(&self.scenario.status).cloned()
    }
}

#[derive(Clone, Debug, Default)]
struct RuleCursor {
    rule: usize,
    times: u32,
}

impl RuleCursor {
    fn next<'a, T>(&mut self, rules: &'a [Repeated<T>]) -> Option<&'a T> {
        while let Some(rule) = rules.get(self.rule) {
            if rule.times.is_none_or(|times| self.times < times) {
                self.times = self.times.saturating_add(1);
                return Some(&rule.what);
            }
            self.rule += 1;
            self.times = 0;
        }
        None
    }
}
