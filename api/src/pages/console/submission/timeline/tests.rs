use super::*;
use crate::history::failure::FailureBody;
use diagflow_store::{DeliveryKind, DeliveryStatus, EventName, Status, Step};
use serde_json::json;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_796_000_000 + seconds, 0).expect("a time")
}

fn event(step: Step, seconds: i64) -> TimelineEventBody {
    TimelineEventBody {
        number: 1,
        name: EventName::StatusUpdate.into(),
        step: step.into(),
        status: Status::Pending.into(),
        message: String::new(),
        at: at(seconds).into(),
    }
}

fn run(number: i32, created: i64, execution: &str) -> RunBody {
    RunBody {
        number,
        temporal_run_id: None,
        execution_id: Some(execution.to_owned()),
        created_at: at(created).into(),
        started_at: Some(at(created + 1).into()),
        requested_at: None,
        finished_at: None,
    }
}

fn delivery(status: DeliveryStatus, created: i64, settled: Option<i64>) -> DeliveryBody {
    DeliveryBody {
        id: "0197b2f2-0000-7000-8000-000000000001".parse().expect("an id"),
        run: 1,
        kind: DeliveryKind::Result.into(),
        status: status.into(),
        attempts: 3,
        error_code: None,
        error_detail: None,
        created_at: at(created).into(),
        settled_at: settled.map(|seconds| at(seconds).into()),
    }
}

fn audited(action: Action, result: &str, seconds: i64) -> AuditEntryBody {
    AuditEntryBody {
        number: 1,
        at: at(seconds).into(),
        actor_kind: "user".to_owned(),
        actor_id: None,
        actor: "olga@example.org".to_owned(),
        action: action.to_string(),
        object_kind: "submission".to_owned(),
        object_id: String::new(),
        result: result.to_owned(),
        address: String::new(),
        request_id: String::new(),
        details: json!({"reason": "The patient called"}),
        hash: String::new(),
    }
}

fn in_temporal(description: &str, seconds: i64, failure: Option<&str>) -> HistoryEventBody {
    HistoryEventBody {
        number: 1,
        at: Some(at(seconds).to_rfc3339()),
        description: description.to_owned(),
        attempt: failure.map(|_| 2),
        failure: failure.map(|kind| FailureBody { kind: kind.to_owned(), message: String::new() }),
        seconds: None,
    }
}

const EMPTY: Sources<'static> =
    Sources { events: &[], runs: &[], deliveries: &[], history: None, audit: &[] };

fn story(sources: &Sources<'_>) -> Vec<String> {
    let entries = timeline(sources);
    let seconds = |entry: &Entry| (entry.at - at(0)).num_seconds();
    entries.iter().map(|it| format!("{} {:?}", seconds(it), it.what)).collect()
}

#[test]
fn all_sources_are_one_story_oldest_first() {
    let sources = Sources {
        events: &[
            event(Step::Received, 0),
            event(Step::Diagnosing, 5),
            event(Step::Completed, 20),
            event(Step::MailSent, 25),
        ],
        runs: &[run(1, 0, "e-1")],
        deliveries: &[delivery(DeliveryStatus::Sent, 20, Some(25))],
        audit: &[audited(Action::SubmissionReveal, SUCCESS, 30)],
        ..EMPTY
    };
    let entries = timeline(&sources);
    let kinds = entries.iter().map(|entry| match &entry.what {
        What::Event { step, .. } => step.as_str(),
        What::RunStarted { .. } => "run",
        What::EmailPlanned { .. } => "planned",
        What::EmailSettled { status, .. } => status.as_str(),
        What::Action { action, .. } => action.as_str(),
        What::Polls { .. } | What::Temporal { .. } => "temporal",
    });
    // The e-mail itself replaces the event about it.
    let expected =
        ["received", "run", "diagnosing", "completed", "planned", "sent", "submission_reveal"];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);
    let waits = entries.iter().map(|entry| entry.since_previous.num_seconds());
    assert_eq!(waits.collect::<Vec<_>>(), [0, 1, 4, 15, 0, 5, 5]);
}

#[test]
fn each_accepted_request_has_the_execution_of_its_run() {
    let sources = Sources {
        events: &[event(Step::Diagnosing, 5), event(Step::Diagnosing, 105)],
        runs: &[run(1, 0, "e-1"), run(2, 100, "e-2")],
        ..EMPTY
    };
    let executions = timeline(&sources).into_iter().filter_map(|entry| match entry.what {
        What::Event { execution, .. } => execution,
        _ => None,
    });
    assert_eq!(executions.collect::<Vec<_>>(), ["e-1", "e-2"]);
}

#[test]
fn successive_polls_are_one_entry_and_a_failure_divides_them() {
    let poll = "LoopAI status poll (local activity): running";
    let failed = "LoopAI status poll (local activity): failed";
    let found = of_history(&[
        in_temporal("Workflow task started", 1, None),
        in_temporal(poll, 2, None),
        in_temporal("Timer started: before look 2", 3, None),
        in_temporal(poll, 4, None),
        in_temporal(failed, 5, Some("loopai_timeout")),
        in_temporal(poll, 6, None),
        in_temporal("Run reset", 7, None),
    ]);
    let temporal = |description: &str, attempt, code: Option<&str>| What::Temporal {
        description: description.to_owned(),
        attempt,
        code: code.map(str::to_owned),
    };
    let expected = [
        (at(2), What::Polls { count: 2, last: at(4) }),
        (at(5), temporal(failed, Some(2), Some("loopai_timeout"))),
        (at(6), What::Polls { count: 1, last: at(6) }),
        (at(7), temporal("Run reset", None, None)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_temporal_recorded_late_precedes_the_end_of_its_run() {
    use crate::history::execution::Execution;
    use crate::routes::staff::history::RunHistory;
    let mut execution = Execution::not_started();
    execution.events = vec![
        in_temporal("LoopAI status poll (local activity): ended, failed", 30, None),
        in_temporal("Run failed", 31, Some("loopai_failed")),
    ];
    let runs = vec![RunHistory { number: 1, run_id: None, execution }];
    let history =
        HistoryBody { success: true, submission_id: String::new(), runs, deliveries: Vec::new() };
    let sources = Sources {
        events: &[event(Step::Received, 0), event(Step::Failed, 20)],
        runs: &[RunBody { started_at: None, ..run(1, 0, "e-1") }],
        history: Some(&history),
        ..EMPTY
    };
    let times = timeline(&sources).into_iter().map(|entry| (entry.at, entry.what.icon()));
    assert_eq!(
        times.collect::<Vec<_>>(),
        [(at(0), "photos"), (at(20), "search"), (at(20), "cross")]
    );
}

#[test]
fn actions_have_their_reason_and_refusals_their_code() {
    let audit = [
        audited(Action::SubmissionView, SUCCESS, 1),
        audited(Action::FileView, SUCCESS, 2),
        audited(Action::SubmissionRetry, SUCCESS, 3),
        audited(Action::SubmissionErase, "forbidden", 4),
    ];
    let entries = timeline(&Sources { audit: &audit, ..EMPTY });
    let action = |name: Action, refusal: Option<&str>| What::Action {
        action: name.to_string(),
        actor: "olga@example.org".to_owned(),
        reason: Some("The patient called".to_owned()),
        refusal: refusal.map(str::to_owned),
    };
    let whats: Vec<_> = entries.into_iter().map(|entry| entry.what).collect();
    let expected =
        [action(Action::SubmissionRetry, None), action(Action::SubmissionErase, Some("forbidden"))];
    assert_eq!(whats, expected);
    assert!(!whats[0].is_problem() && whats[1].is_problem());
}

#[test]
fn an_email_that_is_not_settled_has_no_end() {
    let deliveries = [delivery(DeliveryStatus::Planned, 20, None)];
    let found = story(&Sources { deliveries: &deliveries, ..EMPTY });
    assert_eq!(found, [r#"20 EmailPlanned { kind: "result" }"#]);
}
