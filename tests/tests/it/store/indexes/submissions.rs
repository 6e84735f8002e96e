//! Calls every store method for submissions.

use crate::store::{LARGE_LIMITS, Records};
use diagflow_store::{
    Action, AuditKey, BlobStore, BulkChange, CancelOutcome, DatabaseState, DeleteOutcome, Delivery,
    DeliveryState, DeliveryStatus, DiagnosisResult, EmailLinkState, EmailState, EndStatus,
    EraseOutcome, Eraser, FailureCode, FailureReason, IdempotencyState, LoopAiLimits,
    MAX_RESULT_BYTES, NewAuditEntry, PauseTarget, ReceiptKey, RequestHealth, ResendOutcome,
    RetentionPeriod, RetryOutcome, Role, RunKey, Sha256, SlotOutcome, Status, Store,
    SubmissionChange, SubmissionFilter, SubmissionId, TemporalCluster, TemporalState,
    UpdateOutcome, UserId, WaitReason,
};
use diagflow_tests::seeding::{audit_entry, end};
use std::num::NonZeroU32;
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
    assert_eq!(store.database_state().await.expect("a response"), DatabaseState::Ready);
    assert_eq!(store.too_small_limits(MAX_RESULT_BYTES).await.expect("a response"), []);
    claim_keys(store).await;

    let email = "ana@example.org".parse().expect("an address");
    let exceeded = store.exceeded_recipient_limit(&email, LARGE_LIMITS).await;
    assert_eq!(exceeded.expect("a response"), None);
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
    follow_email_link(records).await;
    read_overview(store).await;
    pause(store).await;
    delete(store, run.submission).await;
    erase(store, run.submission).await;
    sweep_orphaned_files(store).await;
    store.recount_submissions().await.expect("counted");
    let restored = TemporalState::Restored;
    store
        .settle_after_restore(restored, &audit_entry(Action::BackupRestore))
        .await
        .expect("settled");
}

/// Requests slots while LoopAI is unavailable: first when no slot is free, and then after the hourly limit has been
/// reached.
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
        store.record_loopai_request(permit, RequestHealth::Unreachable).await.expect("recorded");
    }
    // The slot must not be released because its run is still open.
    store.release_stale_slots().await.expect("none");
    store.loopai_retry_after(run.submission).await.expect("a response");
    store.loopai_usage().await.expect("a response");
    store.wait_status(run).await.expect("a response");
}

async fn claim_keys(store: &Store) {
    let (key, body) = (Sha256::of(b"key"), Sha256::of(b"body"));
    store.claim_idempotency_key(key, body, Duration::ZERO, DAY).await.expect("claimed");
    let state = store.claim_idempotency_key(key, body, DAY, DAY).await.expect("taken over");
    let IdempotencyState::Claimed(claim) = state else { panic!("{state:?}") };
    store.release_idempotency_key(&claim).await.expect("released");
    store.sweep_idempotency_keys().await.expect("swept");
}

/// Sweeps the three orphaned files that `fill` reserved long ago.
async fn erase(store: &Store, id: SubmissionId) {
    let folder = TempDir::new().expect("a folder");
    let address = Url::from_directory_path(folder.path()).expect("an address");
    let blobs = BlobStore::open(&address).expect("a folder");
    let (receipt_key, audit_key) =
        (ReceiptKey::new(&"a key".into()), AuditKey::new(&"a key".into()));
    let eraser = Eraser::new(store.clone(), blobs, receipt_key, audit_key, None);
    let entry = audit_entry(Action::SubmissionErase);
    let erased = eraser.erase(id, "a reason", &entry).await.expect("a response");
    let EraseOutcome::Erased(erasure) = erased else { panic!("{erased:?}") };
    eraser.replay(&erasure.receipt, &entry).await.expect("a response");
    let period = RetentionPeriod::of_days(NonZeroU32::new(36_000).expect("not zero"));
    assert_eq!(store.expired_submissions(period, None, 100).await.expect("found"), []);
    assert_eq!(store.erased_among(&[id]).await.expect("found").len(), 1);
}

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

/// Delivers the pending e-mail on the third attempt. Returns the delivery.
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

async fn follow_email_link(records: &Records) {
    let store = &records.store;
    let run = records.submission().await;
    end(store, run, EndStatus::Failed, "a_code").await;
    let id = run.submission;
    let delivery = store.deliveries(id).await.expect("read").remove(0).id;
    let state = store.email_link_state(id, delivery).await;
    assert_eq!(state.expect("a response"), EmailLinkState::Unused);
    let state = store.use_email_link(id, delivery, &audit_entry(Action::SubmissionLinkOpen)).await;
    assert_eq!(state.expect("a response"), EmailLinkState::Unused);
    let entry = audit_entry(Action::SubmissionLinkRequest);
    assert!(store.request_email_link(id, delivery, &entry).await.expect("a response"));
}

/// Calls the methods for staff actions on a completed submission whose e-mail has been sent.
async fn staff_actions(records: &Records, run: RunKey, delivery: &Delivery) {
    let (store, id) = (&records.store, run.submission);
    let resent = store.resend_delivery(id, delivery.id, &audit_entry(Action::MailResend)).await;
    assert!(matches!(resent.expect("a response"), ResendOutcome::Planned(_)));
    update(store, id).await;
    store.revoke_token(id, &audit_entry(Action::SubmissionTokenRevoke)).await.expect("revoked");
    assert!(store.is_token_revoked(id).await.expect("a response"));
    let retried = store
        .retry_submission(id, DAY, &audit_entry(Action::SubmissionRetry))
        .await
        .expect("a response");
    let RetryOutcome::Queued(second) = retried else { panic!("{retried:?}") };
    let cancelled = store.request_cancel(id, &audit_entry(Action::SubmissionCancel)).await;
    assert_eq!(cancelled.expect("a response"), CancelOutcome::Cancelled);
    // The reset run supersedes the cancelled retry.
    let (now, began) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    store.adopt(second, &now, &began, Some("execution")).await.expect("adopted");
    let third = RunKey { number: second.number + 1, ..second };
    end(store, third, EndStatus::Failed, "a_code").await;

    let (each, whole) =
        (audit_entry(Action::SubmissionRetry), audit_entry(Action::SubmissionsRetry));
    let undelivered = SubmissionFilter {
        email_states: vec![EmailState::Failed, EmailState::Unknown],
        ..SubmissionFilter::default()
    };
    for filter in super::listings::filters().into_iter().chain([undelivered]) {
        let resend = BulkChange::resend(filter.clone()).ok();
        let others = [BulkChange::cancel(filter.clone()), BulkChange::retry(filter)];
        for change in resend.into_iter().chain(others) {
            store.count_changeable(&change).await.expect("counted");
            store.change_matching(&change, 2, &each, &whole).await.expect("changed");
        }
    }
    // The filter matches more submissions than fit into one transaction.
    let failed = SubmissionFilter { statuses: vec![Status::Failed], ..SubmissionFilter::default() };
    let retry = BulkChange::retry(failed);
    store.change_matching(&retry, 60, &each, &whole).await.expect("retried");
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
    let outcome = store.update_submission(id, Some(0), &change, &roles, &entry).await;
    assert!(matches!(outcome.expect("a response"), UpdateOutcome::AssigneeNotFound));
    let change = SubmissionChange { assignee: None, ..change };
    let outcome = store.update_submission(id, Some(0), &change, &roles, &entry).await;
    let UpdateOutcome::Updated(updated) = outcome.expect("a response") else {
        panic!("not updated")
    };
    assert!(matches!(updated.resent, Some(ResendOutcome::InProgress(_))), "{updated:?}");
}

async fn read_overview(store: &Store) {
    assert_eq!(store.submissions_per_hour(48).await.expect("counts").len(), 48);
    store.count_by_status().await.expect("counts");
    let outcomes = store.outcomes().await.expect("counts");
    assert!(outcomes.last_week.completed > 100, "{outcomes:?}");
    let times = store.time_to_result(200).await.expect("a response").expect("results");
    assert_eq!(times.submissions, 200);
    store.oldest_waiting().await.expect("a response").expect("pending submissions");
    store.unsettled_emails().await.expect("counts");
    assert!(!store.database_version().await.expect("a version").is_empty());
    assert!(store.loopai_contact().await.expect("a response").result_at.is_some());
    store.email_contact().await.expect("a response");
}

async fn pause(store: &Store) {
    let target = PauseTarget::Emails;
    assert!(store.pause(target, "a test", &audit_entry(Action::ServicePause)).await.expect("set"));
    assert!(store.is_paused(target).await.expect("a response"));
    assert_eq!(store.pauses().await.expect("a response").len(), 1);
    assert!(store.resume(target, &audit_entry(Action::ServiceResume)).await.expect("ended"));
}

/// Calls the methods used by the reconciler.
async fn reconcile(records: &Records) {
    let store = &records.store;
    let run = records.submission().await;
    store.mark_run_started(run, &Uuid::new_v4().to_string()).await.expect("started");
    let cancelled =
        store.request_cancel(run.submission, &audit_entry(Action::SubmissionCancel)).await;
    assert_eq!(cancelled.expect("a response"), CancelOutcome::Requested(run));
    let claimed = store.claim_cancellations(100, SECOND).await.expect("claimed");
    assert!(claimed.iter().any(|claimed| claimed.run == run), "the cancellation is not claimed");
    store.clear_cancellation(run).await.expect("recorded");
    let cluster =
        TemporalCluster { namespace: "default".to_owned(), cluster_id: "a cluster".to_owned() };
    let recorded = store.claim_temporal_cluster(&cluster).await.expect("recorded");
    let moved = store.move_to_temporal_cluster(&cluster, &audit_entry(Action::TemporalMove)).await;
    assert_eq!(moved.expect("moved"), Some(recorded));
    let mut cursor = None;
    for _ in 0..2 {
        let found = store.stale_items(SECOND, cursor.as_ref(), 100).await.expect("a response");
        assert_eq!(found.len(), 100);
        cursor = found.last().map(|(cursor, _)| cursor.clone());
    }
    assert!(store.mark_stuck(run.submission, "a_cause").await.expect("recorded"));
    assert!(store.is_marked_stuck(run.submission).await.expect("read"));
    let stuck = store.stuck_submissions(None, 100).await.expect("found");
    assert_eq!(stuck.iter().map(|(_, id)| *id).collect::<Vec<_>>(), [run.submission]);
    let after = stuck.last().copied();
    assert_eq!(store.stuck_submissions(after, 100).await.expect("found"), []);
    assert_eq!(store.count_stuck().await.expect("counted"), 1);
    store.clear_stuck(run.submission).await.expect("recorded");
    store.count_overdue(DAY).await.expect("counted");
    store.count_overdue_emails().await.expect("counted");
    store.email_states(&[run]).await.expect("read");
    assert!(store.end_orphaned_run(run).await.expect("ended"));
    let due = store.claim_standalone_deliveries(100, SECOND).await.expect("claimed");
    let ended = store.deliveries(run.submission).await.expect("read").remove(0).id;
    assert!(due.contains(&ended), "the e-mail of the orphaned run is not claimed");
    store.queue_standalone_delivery(ended).await.expect("recorded");
    store.mark_delivery_started(ended).await.expect("recorded");
    let state = store.delivery_state(ended).await.expect("a response");
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
