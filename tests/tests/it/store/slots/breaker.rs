//! Tests of the circuit breaker, which decides whether a request is deferred and which run sends the next probe.

use super::super::Records;
use super::{SECOND, deferred, granted, steps};
use diagflow_store::{
    BreakerState, LoopAiLimits, NextRequest, Permit, RequestHealth, RunKey, Status, WaitReason,
};
use std::time::Duration;

/// SQL that ends the circuit breaker's open interval so that the next request is a probe.
const DUE_FOR_PROBE: &str = "UPDATE loopai_breaker SET epoch = 1, open_until = NOW(6)";

async fn record(records: &Records, permit: Permit, health: RequestHealth) -> NextRequest {
    records.store.record_loopai_request(permit, health).await.expect("recorded")
}

/// Sends a request for a run and records its failure.
async fn fail(records: &Records, run: RunKey, health: RequestHealth) -> NextRequest {
    let permit = granted(records, run, LoopAiLimits::default()).await;
    record(records, permit, health).await
}

#[tokio::test]
async fn the_breaker_is_shared_and_spreads_the_retry_times() {
    let records = Records::new().await;
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(records.submission().await);
    }
    let mut next = NextRequest::Retry(None);
    for run in &runs[..5] {
        assert_eq!(next, NextRequest::Retry(None));
        next = fail(&records, *run, RequestHealth::Unreachable).await;
    }
    assert!(
        matches!(next, NextRequest::Retry(Some(_))),
        "the run that opens the breaker must wait: {next:?}"
    );
    assert_eq!(steps(&records, runs[4]).await, ["received", "waiting"]);

    let mut before = Duration::ZERO;
    for run in &runs[5..] {
        let (reason, after) = deferred(&records, *run, LoopAiLimits::default()).await;
        assert_eq!(reason, WaitReason::LoopAiUnavailable);
        assert!(after > before, "two runs must not retry at the same time");
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
    records.store.record_loopai_request(probe, RequestHealth::Accepted).await.expect("recorded");
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
    let last = permits.pop().expect("a permit");
    for (index, permit) in permits.into_iter().enumerate() {
        let health = if index == 4 { RequestHealth::Accepted } else { RequestHealth::Unreachable };
        record(&records, permit, health).await;
    }
    // Even without a failure count, the breaker would stay closed for two seconds after a success.
    let earlier = "UPDATE loopai_breaker SET succeeded_at = NOW(6) - INTERVAL 3 SECOND";
    records.database.execute(earlier).await;
    record(&records, last, RequestHealth::Unreachable).await;
    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!(
        now.breaker,
        BreakerState::Closed,
        "the breaker opened without five consecutive failures"
    );
    records.remove().await;
}

#[tokio::test]
async fn a_probe_from_a_crashed_worker_does_not_keep_the_breaker_open() {
    let records = Records::new().await;
    let (crashed, other) = (records.submission().await, records.submission().await);
    records.database.execute(DUE_FOR_PROBE).await;
    granted(&records, crashed, LoopAiLimits::default()).await;
    assert_eq!(
        deferred(&records, other, LoopAiLimits::default()).await.0,
        WaitReason::LoopAiUnavailable
    );

    // The test moves the probe's timeout into the past so that the probe times out immediately.
    records.database.execute("UPDATE loopai_breaker SET probe_until = NOW(6)").await;

    let permit = granted(&records, other, LoopAiLimits::default()).await;
    records.store.record_loopai_request(permit, RequestHealth::Accepted).await.expect("recorded");
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
    assert_eq!(
        now.breaker,
        BreakerState::Open,
        "a permit that was returned unused closed the breaker"
    );
    granted(&records, other, LoopAiLimits::default()).await;
    // A permit that is returned late must not allow a second probe while the first is still in progress.
    records.database.execute("UPDATE loopai_breaker SET epoch = 2").await;
    records.store.release_loopai_permit(permit).await.expect("recorded");
    assert_eq!(
        deferred(&records, unable, LoopAiLimits::default()).await.0,
        WaitReason::LoopAiUnavailable
    );
    records.remove().await;
}

#[tokio::test]
async fn a_run_whose_request_fails_again_is_waiting_even_if_the_breaker_is_closed() {
    let records = Records::new().await;
    let run = records.submission().await;
    let mut steps_after = Vec::new();
    for _ in 0..3 {
        let permit = granted(&records, run, LoopAiLimits::default()).await;
        records
            .store
            .record_loopai_request(permit, RequestHealth::Unreachable)
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

#[tokio::test]
async fn one_run_that_always_fails_does_not_open_the_breaker() {
    let records = Records::new().await;
    let (failing, other) = (records.submission().await, records.submission().await);
    for _ in 0..20 {
        fail(&records, failing, RequestHealth::Unreachable).await;
    }
    granted(&records, other, LoopAiLimits::default()).await;
    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!(now.breaker, BreakerState::Closed);
    records.remove().await;
}

#[tokio::test]
async fn a_new_run_is_not_blocked_by_runs_for_which_loopai_responds_with_500() {
    let limits = LoopAiLimits { max_executions: Some(10), max_per_hour: Some(10) };
    let records = Records::new().await;
    let mut failing = Vec::new();
    for _ in 0..10 {
        failing.push(records.submission().await);
    }
    // Each run sends two requests before the circuit breaker opens.
    for run in &failing {
        for _ in 0..2 {
            records.database.execute("UPDATE loopai_breaker SET failures = 0").await;
            let permit = granted(&records, *run, limits).await;
            record(&records, permit, RequestHealth::ServerError).await;
        }
    }
    let open = "UPDATE loopai_breaker SET epoch = epoch + 1, admits_first_requests = 1, \
                open_until = NOW(6) + INTERVAL 1 MINUTE";
    records.database.execute(open).await;
    for run in &failing {
        assert_eq!(deferred(&records, *run, limits).await.0, WaitReason::LoopAiUnavailable);
    }

    let permit = granted(&records, records.submission().await, limits).await;
    record(&records, permit, RequestHealth::Accepted).await;

    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!((now.breaker, now.running), (BreakerState::HalfOpen, 1));
    records.remove().await;
}

#[tokio::test]
async fn a_run_that_fails_while_others_succeed_backs_off_is_reported_and_is_eventually_given_up() {
    let records = Records::new().await;
    let failing = records.submission().await;
    fail(&records, failing, RequestHealth::ServerError).await;
    let mut waits = Vec::new();
    let mut reported_after = 0;
    for failures in 1..10 {
        let other = granted(&records, records.submission().await, LoopAiLimits::default()).await;
        record(&records, other, RequestHealth::Accepted).await;
        match fail(&records, failing, RequestHealth::ServerError).await {
            NextRequest::Retry(Some(after)) => waits.push(after),
            other => panic!("{other:?}"),
        }
        let now = records.store.loopai_usage().await.expect("a response");
        assert_eq!((now.breaker, now.waiting), (BreakerState::Closed, 0));
        if reported_after == 0 && now.failing == 1 {
            reported_after = failures;
        }
    }
    for (wait, longest) in waits.iter().zip([2, 4, 8, 16, 32, 64, 128, 256, 300]) {
        let longest = Duration::from_secs(longest);
        assert!(*wait <= longest && *wait >= longest * 3 / 4, "{wait:?} instead of {longest:?}");
    }
    assert_eq!(reported_after, 3);
    let row = records.store.submission(failing.submission).await.expect("read").expect("found");
    assert_eq!(
        (row.status, row.error_code.as_deref()),
        (Status::Pending, Some("loopai_repeated_failure"))
    );
    assert_eq!(steps(&records, failing).await, ["received", "waiting"]);

    let permit = granted(&records, failing, LoopAiLimits::default()).await;
    let other = granted(&records, records.submission().await, LoopAiLimits::default()).await;
    record(&records, other, RequestHealth::Accepted).await;
    assert_eq!(record(&records, permit, RequestHealth::ServerError).await, NextRequest::GiveUp);
    records.remove().await;
}

#[tokio::test]
async fn a_run_that_fails_while_no_other_request_succeeds_is_never_given_up() {
    let records = Records::new().await;
    let failing = records.submission().await;
    for _ in 0..20 {
        let next = fail(&records, failing, RequestHealth::Unreachable).await;
        assert_eq!(next, NextRequest::Retry(None));
    }
    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!(now.failing, 0);
    records.remove().await;
}

/// Sends a request for a new run and records its outcome, even if the breaker is half-open.
async fn other_run(records: &Records, health: RequestHealth) {
    records.database.execute("UPDATE loopai_breaker SET next_request_at = NULL").await;
    let run = records.submission().await;
    let permit = granted(records, run, LoopAiLimits::default()).await;
    record(records, permit, health).await;
    records.database.execute("UPDATE loopai_breaker SET next_request_at = NULL").await;
}

#[tokio::test]
async fn a_run_is_not_given_up_because_loopai_is_overloaded_or_does_not_respond() {
    use RequestHealth::{Accepted, NoResponse, Overloaded, Unreachable};
    let records = Records::new().await;
    for (health, of_others) in [
        (Overloaded, &[Accepted][..]),
        (Unreachable, &[NoResponse, Accepted]),
        (NoResponse, &[Accepted, Unreachable]),
    ] {
        let failing = records.submission().await;
        for _ in 0..12 {
            let next = fail(&records, failing, health).await;
            assert_eq!(next, NextRequest::Retry(None), "{health:?}");
            for other in of_others {
                other_run(&records, *other).await;
            }
        }
    }
    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!(now.failing, 0);
    records.remove().await;
}

#[tokio::test]
async fn rejected_requests_of_other_runs_do_not_make_a_failure_a_runs_own() {
    let records = Records::new().await;
    let failing = records.submission().await;
    for _ in 0..4 {
        let next = fail(&records, failing, RequestHealth::ServerError).await;
        assert_eq!(next, NextRequest::Retry(None));
        fail(&records, records.submission().await, RequestHealth::Rejected).await;
    }
    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!(now.failing, 0);
    records.remove().await;
}

#[tokio::test]
async fn a_run_that_never_failed_sends_the_next_probe() {
    let records = Records::new().await;
    let (failed, new) = (records.submission().await, records.submission().await);
    fail(&records, failed, RequestHealth::Unreachable).await;
    // The breaker opened for a minute six seconds ago.
    let open =
        "UPDATE loopai_breaker SET epoch = 1, trips = 5, open_until = NOW(6) + INTERVAL 54 SECOND";
    records.database.execute(open).await;

    let (_, after) = deferred(&records, failed, LoopAiLimits::default()).await;
    assert!(after > 50 * SECOND, "{after:?}");
    let probe = granted(&records, new, LoopAiLimits::default()).await;
    record(&records, probe, RequestHealth::Accepted).await;
    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!(now.breaker, BreakerState::HalfOpen);
    records.remove().await;
}
