//! One call, or more, of everything that the store does to submissions.

use crate::store::Records;
use diagflow_store::{
    Action, AuditEntry, Budget, Cancelling, Deletion, Delivery, DeliveryStatus, DiagnosisResult,
    Entry, FileBytes, Heard, KeyState, Outcome, Resending, RetryFilter, Retrying, RunKey, Sha256,
    Standing, Status, Store, SubmissionId, TemporalState, Wait,
};
use diagflow_tests::seeding::{end, line};
use std::time::Duration;
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Calls everything about submissions.
pub(super) async fn call_everything(records: &Records) {
    let store = &records.store;
    store.ping().await.expect("an answer");
    assert!(store.is_migrated().await.expect("an answer"));
    claim_keys(store).await;

    let run = records.submission().await;
    store.queued_runs(Duration::ZERO).await.expect("counted");
    assert_eq!(store.claim_queued_runs(100, SECOND).await.expect("claimed"), [run]);
    store.start_run_again(run, DAY).await.expect("put off");
    let execution_run = Uuid::new_v4().to_string();
    store.run_started(run, &execution_run).await.expect("started");
    store.adopt(run, &execution_run, &execution_run, None).await.expect("adopted");
    ask(store, run).await;
    store.diagnosis_requested(run, 1, "execution").await.expect("requested");
    let result = DiagnosisResult::new(serde_json::Map::new());
    store.diagnosis_completed(run, &result).await.expect("completed");
    store.diagnosis_completed(run, &result).await.expect("repeated");

    read(store, run.submission).await;
    let delivery = deliver(store, run.submission).await;
    move_about(records, run, &delivery).await;
    keep(records).await;
    delete(store, run.submission).await;
    sweep_bytes(store).await;
    store.recount_submissions().await.expect("counted");
    let restored = TemporalState::Restored;
    store.after_restore(restored, &line(Action::BackupRestore)).await.expect("settled");
}

/// Asks LoopAI, which is away just then: first when there is no place, then when the hour is used up.
async fn ask(store: &Store, run: RunKey) {
    let no_place = Budget { at_once: Some(100), an_hour: Some(100) };
    let no_hour = Budget { at_once: Some(10_000), an_hour: Some(20) };
    for (budget, expected) in [(no_place, Wait::Place), (no_hour, Wait::Hour)] {
        let entry = store.enter_loopai(run, budget).await.expect("an answer");
        assert!(matches!(entry, Entry::TurnedAway { why, .. } if why == expected), "{entry:?}");
    }
    let room = Budget { at_once: Some(10_000), an_hour: Some(10_000) };
    for _ in 0..2 {
        let Entry::Admitted(pass) = store.enter_loopai(run, room).await.expect("an answer") else {
            panic!("there is room");
        };
        store.loopai_not_asked(pass).await.expect("noted");
        store.loopai_heard(pass, Heard::Away).await.expect("noted");
    }
    // Not this one: it has not ended.
    store.free_forgotten_places().await.expect("none");
    store.loopai_away(run.submission).await.expect("an answer");
    store.loopai_use().await.expect("an answer");
}

async fn claim_keys(store: &Store) {
    let (key, body) = (Sha256::of(b"key"), Sha256::of(b"body"));
    store.claim_key(key, body, Duration::ZERO, DAY).await.expect("claimed");
    let state = store.claim_key(key, body, DAY, DAY).await.expect("taken over");
    let KeyState::Claimed(claim) = state else { panic!("{state:?}") };
    store.release_key(&claim).await.expect("released");
    store.sweep_keys().await.expect("swept");
}

/// Some were announced long ago.
async fn sweep_bytes(store: &Store) {
    let folder = TempDir::new().expect("a folder");
    let address = Url::from_file_path(folder.path()).expect("an address");
    let bytes = FileBytes::open(&address).expect("a storage");
    store.announce_bytes(&[Sha256::of(b"a photo"), Sha256::of(b"another")]).await.expect("noted");
    assert_eq!(store.sweep_unnamed_bytes(&bytes, DAY, 100).await.expect("swept"), 3);
}

async fn read(store: &Store, id: SubmissionId) {
    let submission = store.submission(id).await.expect("read").expect("there");
    assert_eq!(submission.status, Status::Completed);
    let files = store.files(id).await.expect("files");
    store.file(files[0].id).await.expect("a file").expect("there");
    store.result(id).await.expect("a result").expect("there");
    store.clinical_sizes(&[id]).await.expect("sizes");
    assert_eq!(store.runs(id).await.expect("runs").len(), 1);
    assert_eq!(store.events(id, 1).await.expect("events").len(), 4);
    assert_eq!(store.next_events(id, 1, 3).await.expect("events").len(), 3);
    let newest = store.newest_event_row().await.expect("a number");
    let rows = store.event_rows(newest - 2, &[newest - 4, newest - 3], 1000).await;
    assert!(rows.expect("rows").len() >= 3);
}

/// Delivers the e-mail that is owed at the third attempt; returns it.
async fn deliver(store: &Store, id: SubmissionId) -> Delivery {
    let deliveries = store.deliveries(id).await.expect("deliveries");
    for step in 1..=3 {
        let standing = store.delivery_standing(deliveries[0].id).await.expect("an answer");
        let Standing::Planned(_, attempt) = standing else { panic!("{standing:?}") };
        let claimed = store.claim_delivery(&attempt, DAY).await.expect("an answer");
        let claimed = claimed.expect("claimed");
        match step {
            1 => assert!(store.withdraw_claim(&attempt, ("a_code", "")).await.expect("withdrawn")),
            2 => assert!(store.release_delivery(&claimed, ("a_code", "")).await.expect("released")),
            _ => {
                let settled = store.settle_delivery(&claimed, DeliveryStatus::Sent, None).await;
                assert!(settled.expect("settled"));
            }
        }
    }
    deliveries[0].clone()
}

/// What staff do to a submission that is completed, and whose e-mail was sent.
async fn move_about(records: &Records, run: RunKey, delivery: &Delivery) {
    let (store, id) = (&records.store, run.submission);
    let resent = store.resend(id, delivery.id, &line(Action::MailResend)).await;
    assert!(matches!(resent.expect("an answer"), Resending::Planned(_)));
    let retried = store.retry(id, DAY, &line(Action::SubmissionRetry)).await.expect("an answer");
    let Retrying::Queued(second) = retried else { panic!("{retried:?}") };
    let called_off = store.request_cancel(id, &line(Action::SubmissionCancel)).await;
    assert_eq!(called_off.expect("an answer"), Cancelling::Cancelled);
    // A *Reset* goes before the retry.
    let (now, began) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    store.adopt(second, &now, &began, Some("execution")).await.expect("adopted");
    let third = RunKey { number: second.number + 1, ..second };
    end(store, third, Outcome::Failed, "a_code").await;

    let (each, whole) = (line(Action::SubmissionRetry), line(Action::SubmissionsRetry));
    for filter in super::listings::filters() {
        let filter = RetryFilter::from(filter);
        store.retry_matches(&filter).await.expect("counted");
        store.retry_all(&filter, 2, &each, &whole).await.expect("retried");
    }
    // More than one transaction takes.
    let failed = diagflow_store::Filter { statuses: vec![Status::Failed], ..Default::default() };
    store.retry_all(&failed.into(), 60, &each, &whole).await.expect("retried");
}

/// What the keeper asks, and writes down.
async fn keep(records: &Records) {
    let store = &records.store;
    let run = records.submission().await;
    store.run_started(run, &Uuid::new_v4().to_string()).await.expect("started");
    let called_off = store.request_cancel(run.submission, &line(Action::SubmissionCancel)).await;
    assert_eq!(called_off.expect("an answer"), Cancelling::Noted(run));
    assert_eq!(store.claim_cancellations(100, SECOND).await.expect("claimed").len(), 1);
    store.cancellation_told(run).await.expect("told");
    let mut beyond = None;
    for _ in 0..2 {
        let found = store.overdue(SECOND, beyond.as_ref(), 100).await.expect("an answer");
        assert_eq!(found.len(), 100);
        beyond = found.last().map(|(place, _)| place.clone());
    }
    assert!(store.end_lost_run(run).await.expect("ended"));
    let owed = store.claim_deliveries(100, SECOND).await.expect("claimed");
    assert_eq!(owed.len(), 1);
    store.deliver_outside_a_run(owed[0]).await.expect("noted");
    store.delivery_started(owed[0]).await.expect("noted");
    let standing = store.delivery_standing(owed[0]).await.expect("an answer");
    let Standing::Planned(delivery, attempt) = standing else { panic!("{standing:?}") };
    assert!(store.give_up_delivery(&delivery, &attempt).await.expect("given up"));
}

async fn delete(store: &Store, id: SubmissionId) {
    let entry: AuditEntry = line(Action::SubmissionDelete);
    let run = store.runs(id).await.expect("runs").last().expect("a run").number;
    end(store, RunKey { submission: id, number: run }, Outcome::Cancelled, "a_code").await;
    assert_eq!(store.delete_submission(id, &entry).await.expect("an answer"), Deletion::Done);
    assert_eq!(store.restore_submission(id, &entry).await.expect("an answer"), Deletion::Done);
}
