//! Joins the events of a submission, its runs, its e-mails, the Temporal history and the audit log into one story.

use crate::history::describe::{HistoryEventBody, POLL};
use crate::pages::context::ShownTime;
use crate::routes::staff::audit::AuditEntryBody;
use crate::routes::staff::detail::{DeliveryBody, RunBody, TimelineEventBody};
use crate::routes::staff::history::HistoryBody;
use chrono::{DateTime, TimeDelta, Utc};
use diagflow_store::{Action, SUCCESS};

/// Temporal events that are part of the story even though they report no failure, by the start of their description.
const INTERVENTIONS: [&str; 4] = ["Run reset", "Run terminated", "Run timed out", "Signal: "];
/// The end of a failed run in Temporal, which is also an event of the submission.
const RUN_FAILED: &str = "Run failed";
/// Steps at which the outcome of a run is known.
const OUTCOMES: [&str; 4] = ["completed", "failed", "timed_out", "cancelled"];
/// Actions that only read, and the receipt, which is an event as well.
const NOT_SHOWN: [Action; 5] = [
    Action::SubmissionCreate,
    Action::SubmissionView,
    Action::HistoryView,
    Action::FileView,
    Action::SubmissionLinkOpen,
];
/// Events about e-mails, which the e-mails themselves describe better.
const ABOUT_EMAILS: &str = "mail_";

/// Everything that the timeline is made of. The last two are empty if the caller may not read them.
pub(super) struct Sources<'a> {
    pub(super) events: &'a [TimelineEventBody],
    pub(super) runs: &'a [RunBody],
    pub(super) deliveries: &'a [DeliveryBody],
    pub(super) history: Option<&'a HistoryBody>,
    pub(super) audit: &'a [AuditEntryBody],
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: DateTime<Utc>,
    pub(super) what: What,
    /// Time since the previous entry.
    pub(super) since_previous: TimeDelta,
}

/// What happened. Names and codes are those of the API.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    Event {
        step: String,
        execution: Option<String>,
    },
    RunStarted {
        run: i32,
        temporal_url: Option<String>,
    },
    /// Successive polls of one execution.
    Polls {
        count: usize,
        last: DateTime<Utc>,
    },
    Temporal {
        description: String,
        attempt: Option<i32>,
        code: Option<String>,
    },
    EmailPlanned {
        kind: String,
    },
    EmailSettled {
        kind: String,
        status: String,
        attempts: i32,
        code: Option<String>,
    },
    Action {
        action: String,
        actor: String,
        reason: Option<String>,
        refusal: Option<String>,
    },
}

impl What {
    pub(super) fn icon(&self) -> &'static str {
        match self {
            Self::Event { step, .. } => event_icon(step),
            Self::RunStarted { .. } => "arrow-right",
            Self::Polls { .. } => "search",
            Self::Temporal { code: Some(_), .. } => "warning",
            Self::Temporal { code: None, .. } => "info",
            Self::EmailPlanned { .. } | Self::EmailSettled { .. } => "mail",
            Self::Action { .. } => "person",
        }
    }

    /// Whether this entry reports a problem.
    pub(super) fn is_problem(&self) -> bool {
        match self {
            Self::Event { step, .. } => ["failed", "timed_out"].contains(&step.as_str()),
            Self::Temporal { code, .. } => code.is_some(),
            Self::EmailSettled { status, .. } => status != "sent",
            Self::Action { refusal, .. } => refusal.is_some(),
            Self::RunStarted { .. } | Self::Polls { .. } | Self::EmailPlanned { .. } => false,
        }
    }
}

fn event_icon(step: &str) -> &'static str {
    match step {
        "received" => "photos",
        "waiting" => "clock",
        "diagnosing" | "retried" | "restored" => "arrow-right",
        "completed" | "result_ready" => "tick",
        "failed" => "cross",
        "timed_out" => "hourglass",
        "cancelled" => "slash",
        _ => "bin",
    }
}

/// Returns the story, oldest first.
pub(super) fn timeline(sources: &Sources<'_>) -> Vec<Entry> {
    let mut found: Vec<(DateTime<Utc>, What)> = Vec::new();
    found.extend(sources.events.iter().filter_map(|event| of_event(event, sources.runs)));
    found.extend(sources.runs.iter().filter_map(|run| of_run(run, sources.history)));
    for run in sources.history.iter().flat_map(|history| &history.runs) {
        let end = end_of_run(run.number, sources);
        found.extend(of_history(&run.execution.events).into_iter().map(|(at, what)| match what {
            What::Polls { .. } => (end.map_or(at, |end| at.min(end)), what),
            // E-mails are sent after the end.
            _ => (at, what),
        }));
    }
    for delivery in sources.history.iter().flat_map(|history| &history.deliveries) {
        found.extend(of_history(&delivery.execution.events));
    }
    found.extend(sources.deliveries.iter().flat_map(of_delivery));
    found.extend(sources.audit.iter().filter_map(of_action));
    // The sort is stable: at the same time, an event precedes what it led to. The end of a run follows its polls.
    found.sort_by_key(|(at, what)| (*at, !matches!(what, What::Polls { .. })));
    let mut previous = None;
    let entry = |(at, what)| {
        let since_previous = at - previous.unwrap_or(at);
        previous = Some(at);
        Entry { at, what, since_previous }
    };
    found.into_iter().map(entry).collect()
}

fn of_event(event: &TimelineEventBody, runs: &[RunBody]) -> Option<(DateTime<Utc>, What)> {
    let (step, at) = (event.step.to_string(), event.at.utc());
    if step.starts_with(ABOUT_EMAILS) {
        return None;
    }
    let run = runs.iter().rev().find(|run| run.created_at <= event.at);
    let execution = run.filter(|_| step == "diagnosing").and_then(|run| run.execution_id.clone());
    Some((at, What::Event { step, execution }))
}

fn of_run(run: &RunBody, history: Option<&HistoryBody>) -> Option<(DateTime<Utc>, What)> {
    let mut in_temporal = history.iter().flat_map(|history| &history.runs);
    let same = in_temporal.find(|found| found.number == run.number);
    let temporal_url = same.and_then(|found| found.execution.link.clone());
    Some((run.started_at?.utc(), What::RunStarted { run: run.number, temporal_url }))
}

/// Returns the time at which the run's outcome was known. Temporal records local activities later than they happened,
/// together with those that followed.
fn end_of_run(number: i32, sources: &Sources<'_>) -> Option<DateTime<Utc>> {
    let start = sources.runs.iter().find(|run| run.number == number)?.created_at;
    let is_end = |event: &&TimelineEventBody| {
        event.at >= start && OUTCOMES.contains(&event.step.to_string().as_str())
    };
    sources.events.iter().find(is_end).map(|event| event.at.utc())
}

fn of_history(events: &[HistoryEventBody]) -> Vec<(DateTime<Utc>, What)> {
    let mut found: Vec<(DateTime<Utc>, What)> = Vec::new();
    for event in events.iter().filter(|event| event.description != RUN_FAILED) {
        let at = event.at.as_deref().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        let Some(at) = at.map(|at| at.to_utc()) else { continue };
        if let Some(failure) = &event.failure {
            found.push((at, temporal(event, Some(failure.kind.clone()))));
        } else if event.description.starts_with(POLL) && !event.description.ends_with("scheduled") {
            match found.last_mut() {
                Some((_, What::Polls { count, last })) => (*count, *last) = (*count + 1, at),
                _ => found.push((at, What::Polls { count: 1, last: at })),
            }
        } else if INTERVENTIONS.iter().any(|start| event.description.starts_with(start)) {
            found.push((at, temporal(event, None)));
        }
    }
    found
}

fn temporal(event: &HistoryEventBody, code: Option<String>) -> What {
    What::Temporal { description: event.description.clone(), attempt: event.attempt, code }
}

fn of_delivery(delivery: &DeliveryBody) -> Vec<(DateTime<Utc>, What)> {
    let kind = delivery.kind.to_string();
    let planned = (delivery.created_at.utc(), What::EmailPlanned { kind: kind.clone() });
    let settled = delivery.settled_at.map(|at| {
        let (status, attempts) = (delivery.status.to_string(), delivery.attempts);
        let code = delivery.error_code.clone();
        (at.utc(), What::EmailSettled { kind, status, attempts, code })
    });
    [Some(planned), settled].into_iter().flatten().collect()
}

fn of_action(entry: &AuditEntryBody) -> Option<(DateTime<Utc>, What)> {
    if NOT_SHOWN.iter().any(|action| action.to_string() == entry.action) {
        return None;
    }
    let (action, actor) = (entry.action.clone(), entry.actor.clone());
    let reason = entry.details.get("reason").and_then(|reason| reason.as_str()).map(str::to_owned);
    let refusal = (entry.result != SUCCESS).then(|| entry.result.clone());
    Some((entry.at.utc(), What::Action { action, actor, reason, refusal }))
}

#[cfg(test)]
mod tests;
