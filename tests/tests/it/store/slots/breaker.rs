//! The circuit breaker: when requests are deferred, and which run sends the probe.

use super::super::Records;
use super::{deferred, granted, steps};
use diagflow_store::{BreakerState, LoopAiLimits, RequestHealth, WaitReason};
use std::time::Duration;

/// Ends the breaker's open interval, so that the next request is a probe.
const DUE_FOR_PROBE: &str = "UPDATE loopai_breaker SET epoch = 1, open_until = NOW(6)";

#[tokio::test]
async fn the_breaker_is_shared_and_spreads_the_retry_times() {
    let records = Records::new().await;
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(records.submission().await);
    }
    let mut retry_after = None;
    for run in &runs[..5] {
        let permit = granted(&records, *run, LoopAiLimits::default()).await;
        assert_eq!(retry_after, None);
        retry_after = records
            .store
            .record_loopai_request(permit, RequestHealth::Unavailable)
            .await
            .expect("recorded");
    }
    assert!(retry_after.is_some(), "the run that opens the breaker has to wait");
    assert_eq!(steps(&records, runs[4]).await, ["received", "waiting"]);

    let mut before = Duration::ZERO;
    for run in &runs[5..] {
        let (reason, after) = deferred(&records, *run, LoopAiLimits::default()).await;
        assert_eq!(reason, WaitReason::LoopAiUnavailable);
        assert!(after > before, "retry times are spread");
        before = after;
    }
    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!((now.breaker, now.waiting), (BreakerState::Open, 8));
    let waiting = records.store.loopai_retry_after(runs[0].submission).await.expect("a response");
    assert!(waiting.is_some());

    records.database.execute("UPDATE loopai_breaker SET open_until = NOW(6)").await;
    let probe = granted(&records, runs[7], LoopAiLimits::default()).await;
    assert_eq!(
        deferred(&records, runs[6], LoopAiLimits::default()).await.0,
        WaitReason::LoopAiUnavailable
    );
    records.store.record_loopai_request(probe, RequestHealth::Healthy).await.expect("recorded");
    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!((now.breaker, now.waiting), (BreakerState::HalfOpen, 7));
    records.remove().await;
}

#[tokio::test]
async fn one_success_resets_the_count_of_consecutive_failures() {
    let records = Records::new().await;
    let mut permits = Vec::new();
    for _ in 0..6 {
        let run = records.submission().await;
        permits.push(granted(&records, run, LoopAiLimits::default()).await);
    }
    for (index, permit) in permits.into_iter().enumerate() {
        let health = if index == 4 { RequestHealth::Healthy } else { RequestHealth::Unavailable };
        records.store.record_loopai_request(permit, health).await.expect("recorded");
    }
    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!(now.breaker, BreakerState::Closed, "not five consecutive failures");
    records.remove().await;
}

#[tokio::test]
async fn a_probe_of_a_crashed_worker_does_not_keep_the_breaker_open() {
    let records = Records::new().await;
    let (crashed, other) = (records.submission().await, records.submission().await);
    records.database.execute(DUE_FOR_PROBE).await;
    granted(&records, crashed, LoopAiLimits::default()).await;
    assert_eq!(
        deferred(&records, other, LoopAiLimits::default()).await.0,
        WaitReason::LoopAiUnavailable
    );

    // Simulate that the timeout of the probe has passed.
    records.database.execute("UPDATE loopai_breaker SET probe_until = NOW(6)").await;

    let permit = granted(&records, other, LoopAiLimits::default()).await;
    records.store.record_loopai_request(permit, RequestHealth::Healthy).await.expect("recorded");
    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!(now.breaker, BreakerState::Closed);
    records.remove().await;
}

#[tokio::test]
async fn a_returned_permit_lets_another_run_probe_at_once() {
    let records = Records::new().await;
    let (unable, other) = (records.submission().await, records.submission().await);
    records.database.execute(DUE_FOR_PROBE).await;
    let permit = granted(&records, unable, LoopAiLimits::default()).await;
    assert_eq!(
        deferred(&records, other, LoopAiLimits::default()).await.0,
        WaitReason::LoopAiUnavailable
    );

    records.store.release_loopai_permit(permit).await.expect("recorded");

    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!(now.breaker, BreakerState::Open, "nothing is known about LoopAI");
    granted(&records, other, LoopAiLimits::default()).await;
    // A late report must not allow a second probe beside the first.
    records.database.execute("UPDATE loopai_breaker SET epoch = 2").await;
    records.store.release_loopai_permit(permit).await.expect("recorded");
    assert_eq!(
        deferred(&records, unable, LoopAiLimits::default()).await.0,
        WaitReason::LoopAiUnavailable
    );
    records.remove().await;
}

#[tokio::test]
async fn a_run_whose_request_fails_again_is_waiting_although_the_breaker_is_closed() {
    let records = Records::new().await;
    let run = records.submission().await;
    let mut steps_after = Vec::new();
    for _ in 0..3 {
        let permit = granted(&records, run, LoopAiLimits::default()).await;
        records
            .store
            .record_loopai_request(permit, RequestHealth::Unavailable)
            .await
            .expect("recorded");
        steps_after.push(steps(&records, run).await);
    }
    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!(now.breaker, BreakerState::Closed);
    let waits = vec!["received", "waiting"];
    assert_eq!(steps_after, [vec!["received"], waits.clone(), waits]);
    records.remove().await;
}
