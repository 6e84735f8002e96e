//! The events of a history, in plain words.

use crate::history::failure::FailureBody;
use crate::history::rfc3339;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::time::SystemTime;
use temporalio_common::protos::temporal::api::common::v1::{Payload, Payloads};
use temporalio_common::protos::temporal::api::enums::v1::EventType;
use temporalio_common::protos::temporal::api::failure::v1::Failure;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::history::v1::{
    HistoryEvent, MarkerRecordedEventAttributes,
};
use utoipa::ToSchema;

/// What the SDK writes when an activity ran within the worker, without Temporal's queue.
const LOCAL_ACTIVITY: &str = "core_local_activity";

/// One event of a history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryEventBody {
    /// Its place in the history, from 1.
    number: i64,
    /// When (UTC).
    #[schema(format = "date-time")]
    at: Option<String>,
    /// What happened.
    #[schema(example = "Asked LoopAI (local attempt): accepted")]
    description: String,
    /// Which attempt, from 1.
    attempt: Option<i32>,
    /// Why it failed.
    failure: Option<FailureBody>,
    /// How long a timer is, in seconds.
    seconds: Option<f64>,
}

/// What an event says beyond its number and time.
#[derive(Default)]
struct Description {
    description: String,
    attempt: Option<i32>,
    failure: Option<FailureBody>,
    seconds: Option<f64>,
}

impl Description {
    fn new(text: impl Into<String>) -> Description {
        Description { description: text.into(), ..Description::default() }
    }

    fn with_failure(text: impl Into<String>, failure: Option<&Failure>) -> Description {
        Description { failure: failure.map(FailureBody::of), ..Description::new(text) }
    }
}

/// The events of a history, in plain words.
pub(crate) fn describe_events(events: &[HistoryEvent]) -> Vec<HistoryEventBody> {
    let mut names = EventNames::default();
    events
        .iter()
        .map(|event| {
            let description = describe_event(event, &mut names);
            let at = event.event_time.and_then(|at| SystemTime::try_from(at).ok()).map(rfc3339);
            let Description { description, attempt, failure, seconds } = description;
            HistoryEventBody { number: event.event_id, at, description, attempt, failure, seconds }
        })
        .collect()
}

/// What later events refer to by number.
#[derive(Default)]
struct EventNames {
    activities: HashMap<i64, String>,
    timers: HashMap<i64, String>,
}

impl EventNames {
    fn activity(&self, scheduled: i64) -> &str {
        self.activities.get(&scheduled).map_or("", String::as_str)
    }
}

fn describe_event(event: &HistoryEvent, names: &mut EventNames) -> Description {
    let Some(attributes) = &event.attributes else { return describe_unknown(event) };
    describe_run_event(event, attributes)
        .or_else(|| describe_task_event(attributes))
        .or_else(|| describe_activity_event(event.event_id, attributes, names))
        .or_else(|| describe_timer_event(event, attributes, names))
        .unwrap_or_else(|| describe_unknown(event))
}

/// Nothing that our workflows do; told by Temporal's own name.
fn describe_unknown(event: &HistoryEvent) -> Description {
    let name = EventType::try_from(event.event_type).unwrap_or_default().as_str_name();
    let name = name.trim_start_matches("EVENT_TYPE_").to_lowercase().replace('_', " ");
    Description::new(format!("Other: {name}"))
}

fn describe_run_event(event: &HistoryEvent, attributes: &Attributes) -> Option<Description> {
    use Attributes as A;
    Some(match attributes {
        A::WorkflowExecutionStartedEventAttributes(started) => {
            let is_reset = started.first_execution_run_id != started.original_execution_run_id;
            Description::new(match (is_reset, summary(event)) {
                (true, _) => "The run was reset".to_owned(),
                (false, Some(summary)) => format!("The run began: {summary}"),
                (false, None) => "The run began".to_owned(),
            })
        }
        A::WorkflowExecutionCompletedEventAttributes(_) => Description::new("The run ended well"),
        A::WorkflowExecutionFailedEventAttributes(failed) => {
            Description::with_failure("The run ended without success", failed.failure.as_ref())
        }
        A::WorkflowExecutionTimedOutEventAttributes(_) => {
            Description::new("Temporal ended the run: it took too long")
        }
        A::WorkflowExecutionCancelRequestedEventAttributes(_) => {
            Description::new("Somebody called the run off")
        }
        A::WorkflowExecutionCanceledEventAttributes(_) => {
            Description::new("The run ended, since it was called off")
        }
        A::WorkflowExecutionTerminatedEventAttributes(terminated) => {
            let reason = &terminated.reason;
            Description::new(match reason.is_empty() {
                true => "The run was terminated".to_owned(),
                false => format!("The run was terminated: {reason}"),
            })
        }
        A::WorkflowExecutionContinuedAsNewEventAttributes(_) => {
            Description::new("The run went on as a new one")
        }
        A::WorkflowExecutionSignaledEventAttributes(signal) => {
            Description::new(match signal.signal_name.as_str() {
                "execution_changed" => {
                    "LoopAI, or an operator, description that something changed".into()
                }
                "make_room" => "A newer run of the submission asked for room".to_owned(),
                other => format!("Signal {other}"),
            })
        }
        A::WorkflowExecutionOptionsUpdatedEventAttributes(_) => {
            Description::new("Somebody changed the run's options in Temporal")
        }
        A::UpsertWorkflowSearchAttributesEventAttributes(upsert) => {
            let fields = upsert.search_attributes.as_ref().map(|all| &all.indexed_fields);
            let mut shown: Vec<String> = fields
                .into_iter()
                .flatten()
                .map(|(name, payload)| format!("{name} = {}", plain_text(payload)))
                .collect();
            shown.sort();
            Description::new(format!("Noted for searches: {}", shown.join(", ")))
        }
        _ => return None,
    })
}

/// The worker's own steps: what was to be decided next.
fn describe_task_event(attributes: &Attributes) -> Option<Description> {
    use Attributes as A;
    Some(match attributes {
        A::WorkflowTaskScheduledEventAttributes(task) => Description {
            attempt: Some(task.attempt),
            ..Description::new("Waiting for a worker to decide on the next step")
        },
        A::WorkflowTaskStartedEventAttributes(_) => Description::new("A worker took the run up"),
        A::WorkflowTaskCompletedEventAttributes(_) => {
            Description::new("The worker decided on the next step")
        }
        A::WorkflowTaskTimedOutEventAttributes(_) => {
            Description::new("The worker did not answer in time; another one takes over")
        }
        A::WorkflowTaskFailedEventAttributes(failed) => Description::with_failure(
            "The worker could not decide on the next step",
            failed.failure.as_ref(),
        ),
        _ => return None,
    })
}

fn describe_activity_event(
    number: i64,
    attributes: &Attributes,
    names: &mut EventNames,
) -> Option<Description> {
    use Attributes as A;
    Some(match attributes {
        A::MarkerRecordedEventAttributes(marker) if marker.marker_name == LOCAL_ACTIVITY => {
            describe_local_activity(marker)
        }
        A::MarkerRecordedEventAttributes(marker) => {
            Description::new(format!("The workflow code noted its version: {}", marker.marker_name))
        }
        A::ActivityTaskScheduledEventAttributes(scheduled) => {
            let name = scheduled.activity_type.as_ref().map(|kind| kind.name.clone());
            let name = name.unwrap_or_default();
            let description =
                Description::new(format!("{}: handed to Temporal", activity_in_progress(&name)));
            names.activities.insert(number, name);
            description
        }
        A::ActivityTaskStartedEventAttributes(started) => Description {
            attempt: Some(started.attempt),
            ..Description::with_failure(
                format!(
                    "{}: the last attempt began",
                    activity_in_progress(names.activity(started.scheduled_event_id))
                ),
                started.last_failure.as_ref(),
            )
        },
        A::ActivityTaskCompletedEventAttributes(completed) => {
            let name = names.activity(completed.scheduled_event_id);
            Description::new(format!(
                "{}{}",
                activity_done(name),
                outcome(completed.result.as_ref())
            ))
        }
        A::ActivityTaskFailedEventAttributes(failed) => {
            let name = activity_in_progress(names.activity(failed.scheduled_event_id));
            Description::with_failure(format!("{name}: failed"), failed.failure.as_ref())
        }
        A::ActivityTaskTimedOutEventAttributes(timed_out) => {
            let name = activity_in_progress(names.activity(timed_out.scheduled_event_id));
            Description::with_failure(
                format!("{name}: its time is over"),
                timed_out.failure.as_ref(),
            )
        }
        A::ActivityTaskCancelRequestedEventAttributes(request) => {
            let name = activity_in_progress(names.activity(request.scheduled_event_id));
            Description::new(format!("{name}: to be stopped"))
        }
        A::ActivityTaskCanceledEventAttributes(canceled) => {
            let name = activity_in_progress(names.activity(canceled.scheduled_event_id));
            Description::new(format!("{name}: stopped"))
        }
        _ => return None,
    })
}

fn describe_local_activity(marker: &MarkerRecordedEventAttributes) -> Description {
    let data = marker.details.get("data").and_then(first).map(json).unwrap_or_default();
    let name = data["activity_type"].as_str().unwrap_or_default();
    let attempt = data["attempt"].as_i64().and_then(|attempt| i32::try_from(attempt).ok());
    let description = match &marker.failure {
        Some(_) => format!("{} (local attempt): failed", activity_in_progress(name)),
        None => format!(
            "{} (local attempt){}",
            activity_done(name),
            outcome(marker.details.get("result"))
        ),
    };
    Description { attempt, ..Description::with_failure(description, marker.failure.as_ref()) }
}

fn describe_timer_event(
    event: &HistoryEvent,
    attributes: &Attributes,
    names: &mut EventNames,
) -> Option<Description> {
    use Attributes as A;
    Some(match attributes {
        A::TimerStartedEventAttributes(timer) => {
            let what = summary(event).map(|what| format!(" {what}")).unwrap_or_default();
            names.timers.insert(event.event_id, what.clone());
            let length = timer.start_to_fire_timeout;
            let seconds = length.map(|it| it.seconds as f64 + f64::from(it.nanos) / 1e9);
            Description { seconds, ..Description::new(format!("Waiting{what}")) }
        }
        A::TimerFiredEventAttributes(fired) => {
            let what = names.timers.get(&fired.started_event_id).map_or("", String::as_str);
            Description::new(format!("The wait{what} is over"))
        }
        A::TimerCanceledEventAttributes(canceled) => {
            let what = names.timers.get(&canceled.started_event_id).map_or("", String::as_str);
            Description::new(format!("The wait{what} was cut short"))
        }
        _ => return None,
    })
}

/// What an activity has done, by its name in Temporal.
fn activity_done(activity: &str) -> &str {
    match activity.rsplit("::").next().unwrap_or_default() {
        "request_diagnosis" => "Asked LoopAI",
        "check_execution" => "Looked at LoopAI's execution",
        "end_diagnosis" => "Recorded the end",
        "deliver" => "E-mailed the patient",
        _ => activity,
    }
}

/// What an activity is about to do, by its name in Temporal.
pub(super) fn activity_in_progress(activity: &str) -> &str {
    match activity.rsplit("::").next().unwrap_or_default() {
        "request_diagnosis" => "Asking LoopAI",
        "check_execution" => "Looking at LoopAI's execution",
        "end_diagnosis" => "Recording the end",
        "deliver" => "E-mailing the patient",
        _ => activity,
    }
}

/// What came of an activity, as `: accepted`. It holds our own parts only.
fn outcome(result: Option<&Payloads>) -> String {
    let result = result.and_then(first).map(json).unwrap_or_default();
    let parts = [&result, &result["verdict"], &result["status"], &result["code"]];
    let parts: Vec<&str> = parts.into_iter().filter_map(Value::as_str).collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

/// The summary that the workflow gave an event.
fn summary(event: &HistoryEvent) -> Option<String> {
    let payload = event.user_metadata.as_ref()?.summary.as_ref()?;
    json(payload).as_str().map(str::to_owned)
}

fn first(payloads: &Payloads) -> Option<&Payload> {
    payloads.payloads.first()
}

fn json(payload: &Payload) -> Value {
    serde_json::from_slice(&payload.data).unwrap_or_default()
}

fn plain_text(payload: &Payload) -> String {
    match json(payload) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use std::path::Path;
    use temporalio_client::WorkflowHistory;

    /// The recorded histories, by name, in words.
    fn recorded() -> Vec<(String, Vec<HistoryEventBody>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/histories");
        let files = std::fs::read_dir(folder).expect("recorded histories");
        files
            .map(|file| {
                let path = file.expect("a file").path();
                let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
                let bytes = std::fs::read(&path).expect("readable");
                let history = WorkflowHistory::from_json(&bytes).expect("a history");
                (name, describe_events(&block_on(history.into_events()).expect("events")))
            })
            .collect()
    }

    fn descriptions_of(case: &str) -> Vec<String> {
        let all = recorded();
        let (_, lines) = all.into_iter().find(|(name, _)| name == case).expect("is recorded");
        lines.into_iter().map(|line| line.description).collect()
    }

    #[test]
    fn every_event_of_every_recorded_history_is_described() {
        for (name, lines) in recorded() {
            assert!(!lines.is_empty(), "{name}");
            for line in lines {
                assert!(!line.description.starts_with("Other:"), "{name}: {line:?}");
                assert!(!line.description.contains("DiagnosisActivities"), "{name}: {line:?}");
                assert!(line.at.is_some(), "{name}: {line:?}");
            }
        }
    }

    #[test]
    fn a_completed_run_reads_in_order() {
        let description = descriptions_of("completed-at-once.1");
        for expected in [
            "The run began: Diagnosis, run 1",
            "Asked LoopAI (local attempt): accepted",
            "Waiting before look 1",
            "The wait before look 1 is over",
            "Looked at LoopAI's execution (local attempt): ended, completed",
            "Noted for searches: SubmissionStatus = completed",
            "E-mailed the patient (local attempt): sent",
            "The run ended well",
        ] {
            assert!(
                description.iter().any(|line| line == expected),
                "{expected:?} in {description:#?}"
            );
        }
    }

    #[test]
    fn failures_attempts_and_timers_are_described() {
        let (_, lines) =
            recorded().into_iter().find(|(name, _)| name == "mail-retried.1").expect("recorded");
        let local = lines.iter().find(|line| line.description.ends_with("(local attempt): failed"));
        let failure = local.and_then(|line| line.failure.as_ref()).expect("a failure");
        assert!(failure.kind.starts_with("smtp_"), "{failure:?}");
        let last = lines.iter().find(|line| line.description.ends_with("the last attempt began"));
        assert!(last.and_then(|line| line.attempt).is_some_and(|attempt| attempt > 1), "{last:?}");
        let timer = lines.iter().find(|line| line.description.starts_with("Waiting before look"));
        assert_eq!(timer.and_then(|line| line.seconds), Some(0.2));
    }
}
