use crate::extract::time_format::rfc3339;
use crate::history::failure::FailureBody;
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

/// Name of the marker that the SDK records for each local activity.
const LOCAL_ACTIVITY: &str = "core_local_activity";
/// Description of the activity that polls an execution at LoopAI.
pub(crate) const POLL: &str = "LoopAI status poll";

/// An event in a workflow history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryEventBody {
    /// Event number, starting at 1.
    pub(crate) number: i64,
    /// Time of the event.
    #[schema(required, format = "date-time")]
    pub(crate) at: Option<String>,
    /// Description of the event.
    #[schema(example = "Request to LoopAI (local activity): accepted")]
    pub(crate) description: String,
    /// Attempt number, starting at 1.
    #[schema(required)]
    pub(crate) attempt: Option<i32>,
    /// Failure reported by the event, if any.
    #[schema(required)]
    pub(crate) failure: Option<FailureBody>,
    /// Timer duration in seconds.
    #[schema(required)]
    pub(crate) seconds: Option<f64>,
}

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

pub(crate) fn describe_events(events: &[HistoryEvent]) -> Vec<HistoryEventBody> {
    let mut names = Names::default();
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

/// Names of activities and timers, keyed by the number of the event that started them.
type Names = HashMap<i64, String>;

fn describe_event(event: &HistoryEvent, names: &mut Names) -> Description {
    let Some(attributes) = &event.attributes else { return describe_unknown(event) };
    describe_run_event(event, attributes)
        .or_else(|| describe_task_event(attributes))
        .or_else(|| describe_activity_event(event.event_id, attributes, names))
        .or_else(|| describe_timer_event(event, attributes, names))
        .unwrap_or_else(|| describe_unknown(event))
}

/// Describes an event whose type our workflows do not produce.
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
                (true, _) => "Run reset".to_owned(),
                (false, Some(summary)) => format!("Run started: {summary}"),
                (false, None) => "Run started".to_owned(),
            })
        }
        A::WorkflowExecutionCompletedEventAttributes(_) => Description::new("Run completed"),
        A::WorkflowExecutionFailedEventAttributes(failed) => {
            Description::with_failure("Run failed", failed.failure.as_ref())
        }
        A::WorkflowExecutionTimedOutEventAttributes(_) => {
            Description::new("Run timed out in Temporal")
        }
        A::WorkflowExecutionCancelRequestedEventAttributes(_) => {
            Description::new("Cancellation requested")
        }
        A::WorkflowExecutionCanceledEventAttributes(_) => Description::new("Run cancelled"),
        A::WorkflowExecutionTerminatedEventAttributes(terminated) => {
            let reason = &terminated.reason;
            Description::new(match reason.is_empty() {
                true => "Run terminated".to_owned(),
                false => format!("Run terminated: {reason}"),
            })
        }
        A::WorkflowExecutionContinuedAsNewEventAttributes(_) => {
            Description::new("Run continued as new")
        }
        A::WorkflowExecutionSignaledEventAttributes(signal) => {
            Description::new(match signal.signal_name.as_str() {
                "execution_changed" => "Signal: poll LoopAI now".to_owned(),
                "make_room" => "Signal: a newer run is waiting to start".to_owned(),
                other => format!("Signal: {other}"),
            })
        }
        A::WorkflowExecutionOptionsUpdatedEventAttributes(_) => {
            Description::new("Run options changed in Temporal")
        }
        A::UpsertWorkflowSearchAttributesEventAttributes(upsert) => {
            let fields = upsert.search_attributes.as_ref().map(|all| &all.indexed_fields);
            let mut values: Vec<String> = fields
                .into_iter()
                .flatten()
                .map(|(name, payload)| format!("{name} = {}", plain_text(payload)))
                .collect();
            values.sort();
            Description::new(format!("Search attributes updated: {}", values.join(", ")))
        }
        _ => return None,
    })
}

/// Describes workflow task events. In a workflow task, a worker executes the workflow code.
fn describe_task_event(attributes: &Attributes) -> Option<Description> {
    use Attributes as A;
    Some(match attributes {
        A::WorkflowTaskScheduledEventAttributes(task) => Description {
            attempt: Some(task.attempt),
            ..Description::new("Workflow task scheduled")
        },
        A::WorkflowTaskStartedEventAttributes(_) => Description::new("Workflow task started"),
        A::WorkflowTaskCompletedEventAttributes(_) => Description::new("Workflow task completed"),
        A::WorkflowTaskTimedOutEventAttributes(_) => Description::new("Workflow task timed out"),
        A::WorkflowTaskFailedEventAttributes(failed) => {
            Description::with_failure("Workflow task failed", failed.failure.as_ref())
        }
        _ => return None,
    })
}

fn describe_activity_event(
    number: i64,
    attributes: &Attributes,
    names: &mut Names,
) -> Option<Description> {
    use Attributes as A;
    if let A::ActivityTaskScheduledEventAttributes(scheduled) = attributes {
        let activity = scheduled.activity_type.as_ref().map_or("", |kind| kind.name.as_str());
        names.insert(number, activity_name(activity).to_owned());
    }
    let name = |scheduled| names.get(scheduled).map_or("", String::as_str);
    Some(match attributes {
        A::MarkerRecordedEventAttributes(marker) if marker.marker_name == LOCAL_ACTIVITY => {
            describe_local_activity(marker)
        }
        A::MarkerRecordedEventAttributes(marker) => {
            Description::new(format!("Workflow code version: {}", marker.marker_name))
        }
        A::ActivityTaskScheduledEventAttributes(_) => {
            Description::new(format!("{}: scheduled", name(&number)))
        }
        A::ActivityTaskStartedEventAttributes(started) => {
            let text = format!("{}: last attempt started", name(&started.scheduled_event_id));
            Description {
                attempt: Some(started.attempt),
                ..Description::with_failure(text, started.last_failure.as_ref())
            }
        }
        A::ActivityTaskCompletedEventAttributes(completed) => {
            let name = name(&completed.scheduled_event_id);
            Description::new(format!("{name}: {}", outcome(completed.result.as_ref())))
        }
        A::ActivityTaskFailedEventAttributes(failed) => {
            let text = format!("{}: failed", name(&failed.scheduled_event_id));
            Description::with_failure(text, failed.failure.as_ref())
        }
        A::ActivityTaskTimedOutEventAttributes(timed_out) => {
            let text = format!("{}: timed out", name(&timed_out.scheduled_event_id));
            Description::with_failure(text, timed_out.failure.as_ref())
        }
        A::ActivityTaskCancelRequestedEventAttributes(request) => {
            let name = name(&request.scheduled_event_id);
            Description::new(format!("{name}: cancellation requested"))
        }
        A::ActivityTaskCanceledEventAttributes(cancelled) => {
            Description::new(format!("{}: cancelled", name(&cancelled.scheduled_event_id)))
        }
        _ => return None,
    })
}

fn describe_local_activity(marker: &MarkerRecordedEventAttributes) -> Description {
    let data = marker.details.get("data").and_then(first).map(json).unwrap_or_default();
    let name = activity_name(data["activity_type"].as_str().unwrap_or_default());
    let attempt = data["attempt"].as_i64().and_then(|attempt| i32::try_from(attempt).ok());
    let outcome = match &marker.failure {
        Some(_) => "failed".to_owned(),
        None => outcome(marker.details.get("result")),
    };
    let text = format!("{name} (local activity): {outcome}");
    Description { attempt, ..Description::with_failure(text, marker.failure.as_ref()) }
}

fn describe_timer_event(
    event: &HistoryEvent,
    attributes: &Attributes,
    names: &mut Names,
) -> Option<Description> {
    use Attributes as A;
    if let A::TimerStartedEventAttributes(_) = attributes {
        let suffix = summary(event).map(|summary| format!(": {summary}"));
        names.insert(event.event_id, suffix.unwrap_or_default());
    }
    let suffix = |started| names.get(started).map_or("", String::as_str);
    Some(match attributes {
        A::TimerStartedEventAttributes(timer) => {
            let duration = timer.start_to_fire_timeout;
            let seconds = duration.map(|it| it.seconds as f64 + f64::from(it.nanos) / 1e9);
            let text = format!("Timer started{}", suffix(&event.event_id));
            Description { seconds, ..Description::new(text) }
        }
        A::TimerFiredEventAttributes(fired) => {
            Description::new(format!("Timer fired{}", suffix(&fired.started_event_id)))
        }
        A::TimerCanceledEventAttributes(cancelled) => {
            Description::new(format!("Timer cancelled{}", suffix(&cancelled.started_event_id)))
        }
        _ => return None,
    })
}

/// Maps a Temporal activity type to a description for staff.
pub(super) fn activity_name(activity: &str) -> &str {
    match activity.rsplit("::").next().unwrap_or_default() {
        "request_diagnosis" => "Request to LoopAI",
        "check_execution" => POLL,
        "end_diagnosis" => "Recording the outcome",
        "deliver" => "E-mail to the patient",
        _ => activity,
    }
}

/// Reads the outcome of an activity, such as `accepted`, from its result.
fn outcome(result: Option<&Payloads>) -> String {
    let result = result.and_then(first).map(json).unwrap_or_default();
    let parts = [&result, &result["verdict"], &result["status"], &result["code"]];
    let parts: Vec<&str> = parts.into_iter().filter_map(Value::as_str).collect();
    if parts.is_empty() { "completed".to_owned() } else { parts.join(", ") }
}

/// Returns the summary that the workflow code set for the event.
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

    fn recorded() -> Vec<(String, Vec<HistoryEventBody>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/histories");
        let files = std::fs::read_dir(folder).expect("recorded histories");
        files
            .map(|file| {
                let path = file.expect("a file").path();
                let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
                let bytes = std::fs::read(&path).expect("a readable file");
                let history = WorkflowHistory::from_json(&bytes).expect("a history");
                (name, describe_events(&block_on(history.into_events()).expect("events")))
            })
            .collect()
    }

    fn descriptions_of(case: &str) -> Vec<String> {
        let all = recorded();
        let (_, events) =
            all.into_iter().find(|(name, _)| name == case).expect("a recorded history");
        events.into_iter().map(|event| event.description).collect()
    }

    #[test]
    fn every_event_of_every_recorded_history_is_described() {
        for (name, events) in recorded() {
            assert!(!events.is_empty(), "{name}");
            for event in events {
                assert!(!event.description.starts_with("Other:"), "{name}: {event:?}");
                assert!(!event.description.contains("DiagnosisActivities"), "{name}: {event:?}");
                assert!(event.at.is_some(), "{name}: {event:?}");
            }
        }
    }

    #[test]
    fn the_main_events_of_a_completed_run_are_described() {
        let descriptions = descriptions_of("completed-at-once.1");
        for expected in [
            "Run started: Diagnosis, run 1",
            "Request to LoopAI (local activity): accepted",
            "Timer started: before look 1",
            "Timer fired: before look 1",
            "LoopAI status poll (local activity): ended, completed",
            "Search attributes updated: SubmissionStatus = completed",
            "E-mail to the patient (local activity): sent",
            "Run completed",
        ] {
            assert!(
                descriptions.iter().any(|event| event == expected),
                "{expected:?} in {descriptions:#?}"
            );
        }
    }

    #[test]
    fn descriptions_include_failures_attempts_and_timers() {
        let (_, events) = recorded()
            .into_iter()
            .find(|(name, _)| name == "mail-retried.1")
            .expect("a recorded history");
        let local =
            events.iter().find(|event| event.description.ends_with("(local activity): failed"));
        let failure = local.and_then(|event| event.failure.as_ref()).expect("a failure");
        assert!(failure.kind.starts_with("smtp_"), "{failure:?}");
        let last = events.iter().find(|event| event.description.ends_with("last attempt started"));
        assert!(
            last.and_then(|event| event.attempt).is_some_and(|attempt| attempt > 1),
            "{last:?}"
        );
        let timer =
            events.iter().find(|event| event.description.starts_with("Timer started: before look"));
        assert_eq!(timer.and_then(|event| event.seconds), Some(0.2));
    }
}
