//! Tests that only the listed status transitions are possible, and that only one of several concurrent writers can make
//! a transition.

use super::Records;
use diagflow_store::{
    Action, Adoption, DiagnosisResult, EndStatus, RetryOutcome, RunEnd, RunKey, Status, Store,
    SubmissionId, TransitionOutcome,
};
use diagflow_tests::seeding::audit_entry;
use futures::future::join_all;
use std::time::Duration;
use uuid::Uuid;

/// Every transition in the table in `docs/ARCHITECTURE.md`. This list duplicates `store/src/submissions/status.rs` so
/// that nobody changes the transitions by accident.
const TRANSITIONS: [(Status, Status); 11] = [
    (Status::Pending, Status::Processing),
    (Status::Pending, Status::Failed),
    (Status::Pending, Status::TimedOut),
    (Status::Pending, Status::Cancelled),
    (Status::Processing, Status::Completed),
    (Status::Processing, Status::Failed),
    (Status::Processing, Status::TimedOut),
    (Status::Processing, Status::Cancelled),
    (Status::Failed, Status::Pending),
    (Status::TimedOut, Status::Pending),
    (Status::Cancelled, Status::Pending),
];

fn run_end(outcome: EndStatus) -> RunEnd {
    RunEnd { status: outcome, code: "a_code".to_owned(), detail: String::new() }
}

/// Tries to change the status to `to` using the store's methods.
async fn transition(store: &Store, run: RunKey, to: Status) -> TransitionOutcome {
    let outcome = match to {
        Status::Pending => return reset(store, run).await,
        Status::Processing => {
            return match store.start_processing(run, 1, "execution").await.expect("a response") {
                TransitionOutcome::Applied(execution) => {
                    assert_eq!(execution, "execution");
                    TransitionOutcome::Applied(())
                }
                TransitionOutcome::Conflict(status) => TransitionOutcome::Conflict(status),
                TransitionOutcome::Superseded => TransitionOutcome::Superseded,
            };
        }
        Status::Completed => {
            let result = serde_json::Map::from_iter([("summary".to_owned(), "all well".into())]);
            store.complete_run(run, &DiagnosisResult::new(result)).await
        }
        Status::Failed => store.end_run(run, &run_end(EndStatus::Failed)).await,
        Status::TimedOut => store.end_run(run, &run_end(EndStatus::TimedOut)).await,
        Status::Cancelled => store.end_run(run, &run_end(EndStatus::Cancelled)).await,
    };
    outcome.expect("a response")
}

/// Restarts a finished submission by adopting a new execution, as happens after a *Reset* in Temporal.
async fn reset(store: &Store, run: RunKey) -> TransitionOutcome {
    let (now, first) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    match store.adopt(run, &now, &first, None).await.expect("a response") {
        Adoption::Current { status: Status::Pending, .. } => TransitionOutcome::Applied(()),
        Adoption::Current { status, .. } => TransitionOutcome::Conflict(status),
        other => panic!("{other:?}"),
    }
}

async fn status_of(store: &Store, submission: SubmissionId) -> Status {
    store.submission(submission).await.expect("read").expect("stored").status
}

#[tokio::test]
async fn exactly_the_listed_transitions_are_allowed_each_with_its_event() {
    let records = Records::new().await;
    let store = &records.store;
    for from in Status::ALL.iter().copied() {
        for to in Status::ALL.iter().copied() {
            let run = records.submission().await;
            let id = run.submission;
            let set_status = format!("UPDATE submissions SET status = '{from}' WHERE id = '{id}'");
            records.database.execute(&set_status).await;

            let response = transition(store, run, to).await;

            let is_allowed = TRANSITIONS.contains(&(from, to));
            assert_eq!(from.can_become(to), is_allowed, "{from} -> {to} in `Status::can_become`");
            let status = if is_allowed { to } else { from };
            assert_eq!(status_of(store, id).await, status, "{from} -> {to}");
            let expected = if status == to {
                TransitionOutcome::Applied(())
            } else {
                TransitionOutcome::Conflict(from)
            };
            assert_eq!(response, expected, "{from} -> {to}");
            let events = store.events(id, 1).await.expect("events");
            assert_eq!(events.is_empty(), !is_allowed, "{from} -> {to}: {events:?}");
            assert!(events.iter().all(|event| event.status == to), "{from} -> {to}: {events:?}");
        }
    }
    records.remove().await;
}

#[tokio::test]
async fn one_of_several_concurrent_transitions_wins() {
    const ENDS: [Status; 4] =
        [Status::Completed, Status::Failed, Status::TimedOut, Status::Cancelled];
    let records = Records::new().await;
    let store = &records.store;
    for _round in 0..20 {
        let run = records.submission().await;
        assert_eq!(
            transition(store, run, Status::Processing).await,
            TransitionOutcome::Applied(())
        );

        let responses = join_all(ENDS.map(|end| transition(store, run, end))).await;

        let status = status_of(store, run.submission).await;
        for (end, response) in ENDS.into_iter().zip(responses) {
            let expected = if end == status {
                TransitionOutcome::Applied(())
            } else {
                TransitionOutcome::Conflict(status)
            };
            assert_eq!(response, expected, "wrong outcome for {end}, with the status {status}");
        }
        let events = store.events(run.submission, 2).await.expect("events");
        assert!(events.iter().all(|event| event.status == status), "{events:?}");
        assert_eq!(events.iter().filter(|event| event.step.is_terminal()).count(), 1, "{events:?}");
        assert_eq!(store.deliveries(run.submission).await.expect("deliveries").len(), 1);
    }
    records.remove().await;
}

#[tokio::test]
async fn a_repeated_transition_changes_nothing() {
    let records = Records::new().await;
    let store = &records.store;
    let run = records.submission().await;
    for to in [Status::Processing, Status::Completed] {
        let first = transition(store, run, to).await;
        let events = store.events(run.submission, 0).await.expect("events");
        assert_eq!(transition(store, run, to).await, first, "{to} again");
        assert_eq!(store.events(run.submission, 0).await.expect("events"), events);
    }
    assert_eq!(store.deliveries(run.submission).await.expect("deliveries").len(), 1);
    records.remove().await;
}

#[tokio::test]
async fn a_run_follows_the_execution_recorded_first() {
    let records = Records::new().await;
    let store = &records.store;
    let run = records.submission().await;
    for execution in ["first", "second", "first"] {
        let stored = store.start_processing(run, 1, execution).await.expect("a response");
        assert_eq!(
            stored,
            TransitionOutcome::Applied("first".to_owned()),
            "after LoopAI returned {execution}"
        );
        let runs = store.runs(run.submission).await.expect("runs");
        assert_eq!(runs[0].loopai_execution_id.as_deref(), Some("first"));
    }
    records.remove().await;
}

#[tokio::test]
async fn a_superseded_run_changes_nothing() {
    let records = Records::new().await;
    let store = &records.store;
    let old = records.submission().await;
    assert_eq!(transition(store, old, Status::Failed).await, TransitionOutcome::Applied(()));
    assert_eq!(reset(store, old).await, TransitionOutcome::Applied(()));
    let before = store.events(old.submission, 0).await.expect("events");

    for to in [Status::Processing, Status::Completed, Status::Failed, Status::Cancelled] {
        assert_eq!(transition(store, old, to).await, TransitionOutcome::Superseded, "{to}");
    }

    assert_eq!(status_of(store, old.submission).await, Status::Pending);
    assert_eq!(store.events(old.submission, 0).await.expect("events"), before);
    records.remove().await;
}

#[tokio::test]
async fn a_queued_retry_is_not_started_after_a_reset() {
    let records = Records::new().await;
    let store = &records.store;
    let first = records.submission().await;
    store.mark_run_started(first, "first").await.expect("recorded");
    assert_eq!(transition(store, first, Status::Failed).await, TransitionOutcome::Applied(()));
    let entry = audit_entry(Action::SubmissionRetry);
    let retried = store.retry_submission(first.submission, Duration::ZERO, &entry).await;
    let RetryOutcome::Queued(retried) = retried.expect("a response") else { panic!("not queued") };

    let reset = store.adopt(first, "reset", "first", None).await.expect("a response");

    let Adoption::Current { run: reset, .. } = reset else { panic!("{reset:?}") };
    assert_eq!((retried.number, reset.number), (2, 3));
    let left = store.claim_queued_runs(10, Duration::ZERO).await.expect("a response");
    assert_eq!(left, [], "no run must remain queued");
    records.remove().await;
}
