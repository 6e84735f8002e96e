//! The moves of a submission's state: exactly those of the table, and each by one writer only.

use super::Records;
use diagflow_store::{
    Action, Adoption, DiagnosisResult, Ending, Outcome, Retrying, RunKey, Status, Store, Stored,
    SubmissionId,
};
use diagflow_tests::seeding::line;
use futures::future::join_all;
use std::time::Duration;
use uuid::Uuid;

/// Every move that there is, as `docs/ARCHITECTURE.md` draws them. Written down a second time, so
/// that a change of the table in `store::status` is a decision and not a slip.
const MOVES: [(Status, Status); 11] = [
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

fn ending(outcome: Outcome) -> Ending {
    Ending { outcome, code: "a_code".to_owned(), detail: String::new() }
}

/// Tries to move a submission to `to`, the way the product does.
async fn try_move(store: &Store, run: RunKey, to: Status) -> Stored {
    let moved = match to {
        Status::Pending => return reset(store, run).await,
        Status::Processing => {
            return match store.diagnosis_requested(run, 1, "execution").await.expect("an answer") {
                Stored::Done(execution) => {
                    assert_eq!(execution, "execution");
                    Stored::Done(())
                }
                Stored::Otherwise(status) => Stored::Otherwise(status),
                Stored::Superseded => Stored::Superseded,
            };
        }
        Status::Completed => {
            let result = serde_json::Map::from_iter([("summary".to_owned(), "all well".into())]);
            store.diagnosis_completed(run, &DiagnosisResult::new(result)).await
        }
        Status::Failed => store.diagnosis_ended(run, &ending(Outcome::Failed)).await,
        Status::TimedOut => store.diagnosis_ended(run, &ending(Outcome::TimedOut)).await,
        Status::Cancelled => store.diagnosis_ended(run, &ending(Outcome::Cancelled)).await,
    };
    moved.expect("an answer")
}

/// A *Reset* in Temporal, which sets what has ended going again.
async fn reset(store: &Store, run: RunKey) -> Stored {
    let (now, first) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    match store.adopt(run, &now, &first, None).await.expect("an answer") {
        Adoption::Current { status: Status::Pending, .. } => Stored::Done(()),
        Adoption::Current { status, .. } => Stored::Otherwise(status),
        other => panic!("{other:?}"),
    }
}

async fn status_of(store: &Store, submission: SubmissionId) -> Status {
    store.submission(submission).await.expect("read").expect("stored").status
}

#[tokio::test]
async fn exactly_the_moves_of_the_table_are_made_each_with_its_event() {
    let records = Records::new().await;
    let store = &records.store;
    for from in Status::ALL {
        for to in Status::ALL {
            let run = records.submission().await;
            let id = run.submission;
            let put = format!("UPDATE submissions SET status = '{from}' WHERE id = '{id}'");
            records.database.run(&put).await;

            let answer = try_move(store, run, to).await;

            let is_move = MOVES.contains(&(from, to));
            assert_eq!(
                from.may_become(to),
                is_move,
                "{from} -> {to} in the table of store::status"
            );
            let stands = if is_move { to } else { from };
            assert_eq!(status_of(store, id).await, stands, "{from} -> {to}");
            let expected = if stands == to { Stored::Done(()) } else { Stored::Otherwise(from) };
            assert_eq!(answer, expected, "{from} -> {to}");
            let told = store.events(id, 1).await.expect("events");
            assert_eq!(told.is_empty(), !is_move, "{from} -> {to}: {told:?}");
            assert!(told.iter().all(|event| event.status == to), "{from} -> {to}: {told:?}");
        }
    }
    records.remove().await;
}

#[tokio::test]
async fn of_moves_at_once_one_wins_and_is_told_and_the_others_know() {
    const ENDS: [Status; 4] =
        [Status::Completed, Status::Failed, Status::TimedOut, Status::Cancelled];
    let records = Records::new().await;
    let store = &records.store;
    for _round in 0..20 {
        let run = records.submission().await;
        assert_eq!(try_move(store, run, Status::Processing).await, Stored::Done(()));

        let answers = join_all(ENDS.map(|end| try_move(store, run, end))).await;

        let stands = status_of(store, run.submission).await;
        for (end, answer) in ENDS.into_iter().zip(answers) {
            let expected = if end == stands { Stored::Done(()) } else { Stored::Otherwise(stands) };
            assert_eq!(answer, expected, "{end} where it became {stands}");
        }
        let told = store.events(run.submission, 2).await.expect("events");
        assert!(told.iter().all(|event| event.status == stands), "{told:?}");
        assert_eq!(told.iter().filter(|event| event.step.ends_story()).count(), 1, "{told:?}");
        assert_eq!(store.deliveries(run.submission).await.expect("deliveries").len(), 1);
    }
    records.remove().await;
}

#[tokio::test]
async fn a_move_that_is_repeated_changes_nothing() {
    let records = Records::new().await;
    let store = &records.store;
    let run = records.submission().await;
    for to in [Status::Processing, Status::Completed] {
        let first = try_move(store, run, to).await;
        let told = store.events(run.submission, 0).await.expect("events");
        assert_eq!(try_move(store, run, to).await, first, "{to} again");
        assert_eq!(store.events(run.submission, 0).await.expect("events"), told);
    }
    assert_eq!(store.deliveries(run.submission).await.expect("deliveries").len(), 1);
    records.remove().await;
}

#[tokio::test]
async fn the_execution_that_was_recorded_first_is_the_one_that_a_run_follows() {
    let records = Records::new().await;
    let store = &records.store;
    let run = records.submission().await;
    for answered in ["first", "second", "first"] {
        let stored = store.diagnosis_requested(run, 1, answered).await.expect("an answer");
        assert_eq!(stored, Stored::Done("first".to_owned()), "after LoopAI answered {answered}");
        let runs = store.runs(run.submission).await.expect("runs");
        assert_eq!(runs[0].loopai_execution_id.as_deref(), Some("first"));
    }
    records.remove().await;
}

#[tokio::test]
async fn a_run_that_a_newer_one_replaced_changes_nothing() {
    let records = Records::new().await;
    let store = &records.store;
    let old = records.submission().await;
    assert_eq!(try_move(store, old, Status::Failed).await, Stored::Done(()));
    assert_eq!(reset(store, old).await, Stored::Done(()));
    let before = store.events(old.submission, 0).await.expect("events");

    for to in [Status::Processing, Status::Completed, Status::Failed, Status::Cancelled] {
        assert_eq!(try_move(store, old, to).await, Stored::Superseded, "{to}");
    }

    assert_eq!(status_of(store, old.submission).await, Status::Pending);
    assert_eq!(store.events(old.submission, 0).await.expect("events"), before);
    records.remove().await;
}

#[tokio::test]
async fn a_retry_that_waits_for_room_is_not_started_after_a_reset_went_before_it() {
    let records = Records::new().await;
    let store = &records.store;
    let first = records.submission().await;
    store.run_started(first, "first").await.expect("noted");
    assert_eq!(try_move(store, first, Status::Failed).await, Stored::Done(()));
    let entry = line(Action::SubmissionRetry);
    let retried = store.retry(first.submission, Duration::ZERO, &entry).await;
    let Retrying::Queued(retried) = retried.expect("an answer") else { panic!("not queued") };

    let reset = store.adopt(first, "reset", "first", None).await.expect("an answer");

    let Adoption::Current { run: reset, .. } = reset else { panic!("{reset:?}") };
    assert_eq!((retried.number, reset.number), (2, 3));
    let left = store.claim_queued_runs(10, Duration::ZERO).await.expect("an answer");
    assert_eq!(left, [], "nothing is to be started");
    records.remove().await;
}
