//! Calls every store method for submissions.

use crate::store::Records;
use diagflow_store::{
    Action, BlobStore, CancelOutcome, DeleteOutcome, Delivery, DeliveryState, DeliveryStatus,
    DiagnosisResult, EndStatus, FailureCode, FailureReason, IdempotencyState, LoopAiLimits,
    NewAuditEntry, RequestHealth, ResendOutcome, RetryFilter, RetryOutcome, Role, RunKey, Sha256,
    SlotOutcome, Status, Store, SubmissionChange, SubmissionId, TemporalState, UpdateOutcome,
    UserId, WaitReason,
};
use diagflow_tests::seeding::{audit_entry, end};
use std::time::Duration;
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn call_everything(records: &Records) {
    let store = &records.store;
    store.ping().await.expect("a response");
    assert!(store.is_migrated().await.expect("a response"));
    claim_keys(store).await;

    let run = records.submission().await;
    store.count_queued_runs(Duration::ZERO).await.expect("counted");
    assert_eq!(store.claim_queued_runs(100, SECOND).await.expect("claimed"), [run]);
    store.requeue_run(run, DAY).await.expect("requeued");
    let execution_run = Uuid::new_v4().to_string();
    store.mark_run_started(run, &execution_run).await.expect("started");
    store.adopt(run, &execution_run, &execution_run, None).await.expect("adopted");
    request_slots(store, run).await;
    store.start_processing(run, 1, "execution").await.expect("requested");
    let result = DiagnosisResult::new(serde_json::Map::new());
    store.complete_run(run, &result).await.expect("completed");
    store.complete_run(run, &result).await.expect("repeated");

    read_submission(store, run.submission).await;
    let delivery = deliver(store, run.submission).await;
    staff_actions(records, run, &delivery).await;
    reconcile(records).await;
    delete(store, run.submission).await;
    sweep_orphaned_files(store).await;
    store.recount_submissions().await.expect("counted");
    let restored = TemporalState::Restored;
    store
        .settle_after_restore(restored, &audit_entry(Action::BackupRestore))
        .await
        .expect("settled");
}

/// Requests slots while LoopAI is unavailable: first without a free slot, then with the hourly
/// limit reached.
async fn request_slots(store: &Store, run: RunKey) {
    let no_free_slot = LoopAiLimits { max_executions: Some(100), max_per_hour: Some(100) };
    let no_hourly_room = LoopAiLimits { max_executions: Some(10_000), max_per_hour: Some(20) };
    for (limits, expected) in
        [(no_free_slot, WaitReason::Slot), (no_hourly_room, WaitReason::HourlyLimit)]
    {
        let outcome = store.acquire_loopai_slot(run, limits).await.expect("a response");
        assert!(
            matches!(outcome, SlotOutcome::Deferred { reason, .. } if reason == expected),
            "{outcome:?}"
        );
    }
    let enough = LoopAiLimits { max_executions: Some(10_000), max_per_hour: Some(10_000) };
    for _ in 0..2 {
        let SlotOutcome::Granted(permit) =
            store.acquire_loopai_slot(run, enough).await.expect("a response")
        else {
            panic!("no free slot");
        };
        store.release_loopai_permit(permit).await.expect("recorded");
        store.record_loopai_request(permit, RequestHealth::Unavailable).await.expect("recorded");
    }
    // This slot is not released, since its run is open.
    store.release_stale_slots().await.expect("none");
    store.loopai_retry_after(run.submission).await.expect("a response");
    store.loopai_usage().await.expect("a response");
}

async fn claim_keys(store: &Store) {
    let (key, body) = (Sha256::of(b"key"), Sha256::of(b"body"));
    store.claim_idempotency_key(key, body, Duration::ZERO, DAY).await.expect("claimed");
    let state = store.claim_idempotency_key(key, body, DAY, DAY).await.expect("taken over");
    let IdempotencyState::Claimed(claim) = state else { panic!("{state:?}") };
    store.release_idempotency_key(&claim).await.expect("released");
    store.sweep_idempotency_keys().await.expect("swept");
}

/// Sweeps the three blobs that `fill` reserved long ago.
async fn sweep_orphaned_files(store: &Store) {
    let folder = TempDir::new().expect("a folder");
    let address = Url::from_file_path(folder.path()).expect("an address");
    let bytes = BlobStore::open(&address).expect("a storage");
    store.reserve_blobs(&[Sha256::of(b"a photo"), Sha256::of(b"another")]).await.expect("recorded");
    assert_eq!(store.sweep_orphaned_files(&bytes, DAY, 100).await.expect("swept"), 3);
}

async fn read_submission(store: &Store, id: SubmissionId) {
    let submission = store.submission(id).await.expect("read").expect("found");
    assert_eq!(submission.status, Status::Completed);
    let files = store.files(id).await.expect("files");
    store.file(files[0].id).await.expect("a file").expect("found");
    store.result(id).await.expect("a result").expect("found");
    store.result_email(id).await.expect("an e-mail").expect("found");
    store.clinical_data_sizes(&[id]).await.expect("sizes");
    assert_eq!(store.runs(id).await.expect("runs").len(), 1);
    assert_eq!(store.events(id, 1).await.expect("events").len(), 4);
    assert_eq!(store.events_page(id, 1, 3).await.expect("events").len(), 3);
    let newest = store.latest_event_id().await.expect("a number");
    let rows = store.events_after_id(newest - 2, &[newest - 4, newest - 3], 1000).await;
    assert!(rows.expect("rows").len() >= 3);
}

/// Delivers the pending e-mail at the third attempt; returns it.
async fn deliver(store: &Store, id: SubmissionId) -> Delivery {
    let deliveries = store.deliveries(id).await.expect("deliveries");
    for step in 1..=3 {
        let state = store.delivery_state(deliveries[0].id).await.expect("a response");
        let DeliveryState::Planned(_, attempt) = state else { panic!("{state:?}") };
        let claimed = store.claim_delivery(&attempt, DAY).await.expect("a response");
        let claimed = claimed.expect("claimed");
        match step {
            1 => assert!(
                store
                    .withdraw_claim(&attempt, FailureReason::new(FailureCode::SmtpTimeout, ""))
                    .await
                    .expect("withdrawn")
            ),
            2 => assert!(
                store
                    .release_delivery(&claimed, FailureReason::new(FailureCode::SmtpTimeout, ""))
                    .await
                    .expect("released")
            ),
            _ => {
                let settled = store.settle_delivery(&claimed, DeliveryStatus::Sent, None).await;
                assert!(settled.expect("settled"));
            }
        }
    }
    deliveries[0].clone()
}

/// Staff actions on a completed submission whose e-mail was sent.
async fn staff_actions(records: &Records, run: RunKey, delivery: &Delivery) {
    let (store, id) = (&records.store, run.submission);
    let resent = store.resend_delivery(id, delivery.id, &audit_entry(Action::MailResend)).await;
    assert!(matches!(resent.expect("a response"), ResendOutcome::Planned(_)));
    update(store, id).await;
    let retried = store
        .retry_submission(id, DAY, &audit_entry(Action::SubmissionRetry))
        .await
        .expect("a response");
    let RetryOutcome::Queued(second) = retried else { panic!("{retried:?}") };
    let cancelled = store.request_cancel(id, &audit_entry(Action::SubmissionCancel)).await;
    assert_eq!(cancelled.expect("a response"), CancelOutcome::Cancelled);
    // A reset supersedes the retry.
    let (now, began) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    store.adopt(second, &now, &began, Some("execution")).await.expect("adopted");
    let third = RunKey { number: second.number + 1, ..second };
    end(store, third, EndStatus::Failed, "a_code").await;

    let (each, whole) =
        (audit_entry(Action::SubmissionRetry), audit_entry(Action::SubmissionsRetry));
    for filter in super::listings::filters() {
        let filter = RetryFilter::from(filter);
        store.count_retryable(&filter).await.expect("counted");
        store.retry_matching(&filter, 2, &each, &whole).await.expect("retried");
    }
    // More submissions than fit into one transaction.
    let failed =
        diagflow_store::SubmissionFilter { statuses: vec![Status::Failed], ..Default::default() };
    store.retry_matching(&failed.into(), 60, &each, &whole).await.expect("retried");
}

/// Corrects the address while a copy of the e-mail is planned.
async fn update(store: &Store, id: SubmissionId) {
    let change = SubmissionChange {
        email: Some("corrected@example.org".parse().expect("an address")),
        resend: true,
        assignee: Some(Some(UserId::new())),
        ..SubmissionChange::default()
    };
    let (entry, roles) = (audit_entry(Action::SubmissionUpdate), [Role::Admin, Role::Operator]);
    let outcome = store.update_submission(id, 0, &change, &roles, &entry).await;
    assert!(matches!(outcome.expect("a response"), UpdateOutcome::AssigneeNotFound));
    let change = SubmissionChange { assignee: None, ..change };
    let outcome = store.update_submission(id, 0, &change, &roles, &entry).await;
    let UpdateOutcome::Updated(updated) = outcome.expect("a response") else {
        panic!("not updated")
    };
    assert!(matches!(updated.resent, Some(ResendOutcome::InProgress(_))), "{updated:?}");
}

/// Calls the methods that the reconciler uses.
async fn reconcile(records: &Records) {
    let store = &records.store;
    let run = records.submission().await;
    store.mark_run_started(run, &Uuid::new_v4().to_string()).await.expect("started");
    let cancelled =
        store.request_cancel(run.submission, &audit_entry(Action::SubmissionCancel)).await;
    assert_eq!(cancelled.expect("a response"), CancelOutcome::Requested(run));
    assert_eq!(store.claim_cancellations(100, SECOND).await.expect("claimed").len(), 1);
    store.clear_cancellation(run).await.expect("recorded");
    let mut cursor = None;
    for _ in 0..2 {
        let found = store.stale_items(SECOND, cursor.as_ref(), 100).await.expect("a response");
        assert_eq!(found.len(), 100);
        cursor = found.last().map(|(cursor, _)| cursor.clone());
    }
    assert!(store.end_orphaned_run(run).await.expect("ended"));
    let due = store.claim_standalone_deliveries(100, SECOND).await.expect("claimed");
    assert_eq!(due.len(), 1);
    store.queue_standalone_delivery(due[0]).await.expect("recorded");
    store.mark_delivery_started(due[0]).await.expect("recorded");
    let state = store.delivery_state(due[0]).await.expect("a response");
    let DeliveryState::Planned(delivery, attempt) = state else { panic!("{state:?}") };
    assert!(store.give_up_delivery(&delivery, &attempt).await.expect("abandoned"));
}

async fn delete(store: &Store, id: SubmissionId) {
    let outcome: NewAuditEntry = audit_entry(Action::SubmissionDelete);
    let run = store.runs(id).await.expect("runs").last().expect("a run").number;
    end(store, RunKey { submission: id, number: run }, EndStatus::Cancelled, "a_code").await;
    assert_eq!(
        store.delete_submission(id, &outcome).await.expect("a response"),
        DeleteOutcome::Done
    );
    assert_eq!(
        store.restore_submission(id, &outcome).await.expect("a response"),
        DeleteOutcome::Done
    );
}
