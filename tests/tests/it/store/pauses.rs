//! Tests of pauses and of what they mean for the queue for LoopAI.

use super::Records;
use diagflow_store::{
    Action, LoopAiLimits, PauseTarget, RunKey, SlotOutcome, WaitReason, WaitStatus,
};
use diagflow_tests::seeding::audit_entry;
use std::time::Duration;

const TARGET: PauseTarget = PauseTarget::LoopaiRequests;

async fn pause(records: &Records, reason: &str) -> bool {
    let entry = audit_entry(Action::ServicePause);
    records.store.pause(TARGET, reason, &entry).await.expect("a response")
}

async fn resume(records: &Records) -> bool {
    let entry = audit_entry(Action::ServiceResume);
    records.store.resume(TARGET, &entry).await.expect("a response")
}

async fn request_slot(records: &Records, run: RunKey) -> SlotOutcome {
    let limits = LoopAiLimits::default();
    records.store.acquire_loopai_slot(run, limits).await.expect("a response")
}

async fn wait_status(records: &Records, run: RunKey) -> WaitStatus {
    records.store.wait_status(run).await.expect("a response")
}

#[tokio::test]
async fn the_first_pause_counts_until_it_ends() {
    let records = Records::new().await;
    assert!(!resume(&records).await, "nothing was paused");

    assert!(pause(&records, "the first reason").await);
    assert!(!pause(&records, "a later reason").await);

    let pauses = records.store.pauses().await.expect("a response");
    let [pause] = pauses.as_slice() else { panic!("{pauses:?}") };
    assert_eq!((pause.target, pause.reason.as_str()), (TARGET, "the first reason"));
    assert_eq!((pause.paused_by, pause.paused_by_name.as_str()), (None, "tests"));
    assert!(records.store.is_paused(TARGET).await.expect("a response"));
    assert!(!records.store.is_paused(PauseTarget::Emails).await.expect("a response"));
    assert!(resume(&records).await);
    assert_eq!(records.store.pauses().await.expect("a response"), []);
    let audited = "SELECT CONCAT(action, ' ', result) FROM audit ORDER BY number";
    let expected = [
        "service_resume unchanged",
        "service_pause success",
        "service_pause unchanged",
        "service_resume success",
    ];
    assert_eq!(records.database.texts(audited).await, expected);
    records.remove().await;
}

#[tokio::test]
async fn paused_requests_wait_in_the_order_in_which_they_came() {
    let records = Records::new().await;
    pause(&records, "a test").await;
    let mut runs = Vec::new();
    for _ in 0..6 {
        runs.push(records.submission().await);
    }

    let mut delays = Vec::new();
    for run in &runs {
        let SlotOutcome::Deferred { reason: WaitReason::Paused, after } =
            request_slot(&records, *run).await
        else {
            panic!("the request was not paused")
        };
        delays.push(after.as_secs());
    }

    // The runs at the front try again sooner, so LoopAI does not receive all requests at once after the pause.
    assert_eq!(delays, [2, 2, 2, 2, 4, 4]);
    for (position, run) in (1..).zip(&runs) {
        let status = wait_status(&records, *run).await;
        assert_eq!((status.queue_position, status.is_paused), (Some(position), true));
    }
    resume(&records).await;
    assert!(matches!(request_slot(&records, runs[0]).await, SlotOutcome::Granted(_)));
    let first = wait_status(&records, runs[0]).await;
    assert_eq!((first.queue_position, first.is_paused), (None, false));
    assert_eq!(wait_status(&records, runs[5]).await.queue_position, Some(5));
    records.remove().await;
}

#[tokio::test]
async fn a_run_that_holds_a_slot_is_paused_too() {
    let records = Records::new().await;
    let run = records.submission().await;
    assert!(matches!(request_slot(&records, run).await, SlotOutcome::Granted(_)));
    pause(&records, "a test").await;

    let outcome = request_slot(&records, run).await;

    let SlotOutcome::Deferred { reason, after } = outcome else { panic!("{outcome:?}") };
    assert_eq!((reason, after), (WaitReason::Paused, Duration::from_secs(2)));
    let usage = records.store.loopai_usage().await.expect("a response");
    assert_eq!((usage.running, usage.waiting), (1, 1), "the run must keep its slot");
    records.remove().await;
}
