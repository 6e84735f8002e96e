//! LoopAI slots: which run gets one, which one waits, and when a slot is freed.

use super::Records;
use diagflow_store::{
    Adoption, BreakerState, DiagnosisResult, EndStatus, LoopAiLimits, Permit, RequestHealth,
    RunEnd, RunKey, SlotOutcome, StoreResult, WaitReason,
};
use futures::future::join_all;
use std::time::Duration;
use uuid::Uuid;

const ONE: LoopAiLimits = LoopAiLimits { max_executions: Some(1), max_per_hour: None };
const SECOND: Duration = Duration::from_secs(1);

async fn request_slot(records: &Records, run: RunKey, limits: LoopAiLimits) -> SlotOutcome {
    records.store.acquire_loopai_slot(run, limits).await.expect("a response")
}

async fn granted(records: &Records, run: RunKey, limits: LoopAiLimits) -> Permit {
    match request_slot(records, run, limits).await {
        SlotOutcome::Granted(permit) => permit,
        other => panic!("{other:?}"),
    }
}

/// Why a run has to wait, and for how long.
async fn deferred(records: &Records, run: RunKey, limits: LoopAiLimits) -> (WaitReason, Duration) {
    match request_slot(records, run, limits).await {
        SlotOutcome::Deferred { reason, after } => (reason, after),
        other => panic!("{other:?}"),
    }
}

async fn steps(records: &Records, run: RunKey) -> Vec<&'static str> {
    let events = records.store.events(run.submission, 0).await.expect("events");
    events.iter().map(|event| event.step.name()).collect()
}

/// Adopts a run as its worker does. `first_execution_id` differs from the current one after a
/// reset.
async fn adopt(
    records: &Records,
    run: RunKey,
    first_execution_id: Uuid,
    execution: Option<&str>,
) -> StoreResult<RunKey> {
    let now = Uuid::new_v4().to_string();
    match records.store.adopt(run, &now, &first_execution_id.to_string(), execution).await? {
        Adoption::Current { run, .. } => Ok(run),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn concurrent_requests_get_no_more_slots_than_exist() {
    const SLOTS: i64 = 5;
    let records = Records::new().await;
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(records.submission().await);
    }
    let limits = LoopAiLimits { max_executions: Some(SLOTS), max_per_hour: None };

    for _ in 0..2 {
        let all = join_all(runs.iter().map(|run| request_slot(&records, *run, limits))).await;
        let granted = all.iter().filter(|it| matches!(it, SlotOutcome::Granted(_))).count();
        assert_eq!(granted as i64, SLOTS, "{all:?}");
    }

    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!((now.running, now.last_hour, now.waiting), (SLOTS, SLOTS, 15));
    // The patient is notified once, however often the run is deferred.
    let mut notifications = 0;
    for run in runs {
        let steps = steps(&records, run).await;
        assert!(steps == ["received"] || steps == ["received", "waiting"], "{steps:?}");
        notifications += steps.len() - 1;
    }
    assert_eq!(notifications, 15);
    records.remove().await;
}

#[tokio::test]
async fn a_slot_belongs_to_its_run_and_is_freed_however_the_run_ends() {
    let records = Records::new().await;
    let store = &records.store;
    for ending in ["completed", "failed", "timed out", "cancelled", "orphaned", "reset"] {
        let (run, other) = (records.submission().await, records.submission().await);
        let first_execution_id = Uuid::new_v4();
        let name = first_execution_id.to_string();
        store.mark_run_started(run, &name).await.expect("started");
        for _ in 0..3 {
            granted(&records, run, ONE).await;
        }
        store.start_processing(run, 1, "execution").await.expect("requested");
        assert_eq!(deferred(&records, other, ONE).await.0, WaitReason::Slot, "{ending}");

        let end = |status| RunEnd { status, code: "a_code".into(), detail: String::new() };
        match ending {
            "completed" => {
                let result = DiagnosisResult::new(serde_json::Map::new());
                store.complete_run(run, &result).await.map(|_| ())
            }
            "failed" => store.end_run(run, &end(EndStatus::Failed)).await.map(|_| ()),
            "timed out" => store.end_run(run, &end(EndStatus::TimedOut)).await.map(|_| ()),
            "cancelled" => store.end_run(run, &end(EndStatus::Cancelled)).await.map(|_| ()),
            "orphaned" => store.end_orphaned_run(run).await.map(|_| ()),
            _ => adopt(&records, run, first_execution_id, None).await.map(|_| ()),
        }
        .expect("ended");

        granted(&records, other, ONE).await;
        store.end_run(other, &end(EndStatus::Failed)).await.expect("ended");
    }
    records.remove().await;
}

#[tokio::test]
async fn a_reset_that_continues_its_execution_keeps_its_slot() {
    let records = Records::new().await;
    let (run, other) = (records.submission().await, records.submission().await);
    let first_execution_id = Uuid::new_v4();
    records.store.mark_run_started(run, &first_execution_id.to_string()).await.expect("started");
    granted(&records, run, ONE).await;
    records.store.start_processing(run, 1, "execution").await.expect("requested");

    let reset = adopt(&records, run, first_execution_id, Some("execution")).await.expect("adopted");
    assert_eq!(deferred(&records, other, ONE).await.0, WaitReason::Slot);

    let result = DiagnosisResult::new(serde_json::Map::new());
    records.store.complete_run(reset, &result).await.expect("completed");
    // An adopted run whose submission is completed holds no slot.
    adopt(&records, run, first_execution_id, Some("execution")).await.expect("adopted");
    granted(&records, other, ONE).await;
    records.remove().await;
}

#[tokio::test]
async fn an_ended_or_superseded_run_gets_no_slot() {
    let records = Records::new().await;
    let (ended, superseded) = (records.submission().await, records.submission().await);
    let ending =
        RunEnd { status: EndStatus::Cancelled, code: "cancelled".into(), detail: String::new() };
    records.store.end_run(ended, &ending).await.expect("ended");
    adopt(&records, superseded, Uuid::new_v4(), None).await.expect("adopted");

    assert!(matches!(request_slot(&records, ended, ONE).await, SlotOutcome::Ended));
    assert!(matches!(request_slot(&records, superseded, ONE).await, SlotOutcome::Superseded));

    assert_eq!(records.store.loopai_usage().await.expect("a response").running, 0);
    records.remove().await;
}

#[tokio::test]
async fn a_free_slot_goes_to_the_run_that_has_waited_longest() {
    let records = Records::new().await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(records.submission().await);
    }
    let [first, second, third] = runs[..] else { unreachable!() };
    granted(&records, first, ONE).await;
    deferred(&records, second, ONE).await;
    deferred(&records, third, ONE).await;
    let ending = RunEnd { status: EndStatus::Failed, code: "a_code".into(), detail: String::new() };
    records.store.end_run(first, &ending).await.expect("ended");

    assert_eq!(
        deferred(&records, third, ONE).await.0,
        WaitReason::Slot,
        "the second is first in line"
    );
    let expired = format!(
        "UPDATE loopai_slots SET turn_expires_at = NOW(6) - INTERVAL 1 SECOND WHERE submission_id = '{}'",
        second.submission
    );
    records.database.execute(&expired).await;
    granted(&records, third, ONE).await;
    records.remove().await;
}

#[tokio::test]
async fn the_hourly_limit_counts_ended_executions_too() {
    let limits = LoopAiLimits { max_executions: None, max_per_hour: Some(2) };
    let records = Records::new().await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(records.submission().await);
    }
    granted(&records, runs[0], limits).await;
    let ending = RunEnd { status: EndStatus::Failed, code: "a_code".into(), detail: String::new() };
    records.store.end_run(runs[0], &ending).await.expect("ended");
    granted(&records, runs[1], limits).await;
    granted(&records, runs[1], limits).await;

    let (reason, after) = deferred(&records, runs[2], limits).await;
    assert_eq!(reason, WaitReason::HourlyLimit);
    assert!(after <= 60 * SECOND, "{after:?}");
    let an_hour_ago = format!(
        "UPDATE loopai_slots SET acquired_at = NOW(6) - INTERVAL 3590 SECOND WHERE submission_id = '{}'",
        runs[0].submission
    );
    records.database.execute(&an_hour_ago).await;
    let (_, after) = deferred(&records, runs[2], limits).await;
    assert!(after <= 10 * SECOND, "{after:?}");
    let older = "UPDATE loopai_slots SET acquired_at = acquired_at - INTERVAL 10 SECOND";
    records.database.execute(older).await;
    granted(&records, runs[2], limits).await;
    records.remove().await;
}

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

/// A breaker whose time has passed: the next request is a probe.
const DUE_FOR_PROBE: &str = "UPDATE loopai_breaker SET epoch = 1, open_until = NOW(6)";

#[tokio::test]
async fn a_probe_lost_with_its_worker_does_not_keep_the_breaker_open() {
    let records = Records::new().await;
    let (crashed, other) = (records.submission().await, records.submission().await);
    records.database.execute(DUE_FOR_PROBE).await;
    granted(&records, crashed, LoopAiLimits::default()).await;
    assert_eq!(
        deferred(&records, other, LoopAiLimits::default()).await.0,
        WaitReason::LoopAiUnavailable
    );

    // As if the timeout of the probe had passed.
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

    records.store.return_loopai_permit(permit).await.expect("recorded");

    let now = records.store.loopai_usage().await.expect("a response");
    assert_eq!(now.breaker, BreakerState::Open, "nothing is known about LoopAI");
    granted(&records, other, LoopAiLimits::default()).await;
    // A late report must not allow a second probe beside the first.
    records.database.execute("UPDATE loopai_breaker SET epoch = 2").await;
    records.store.return_loopai_permit(permit).await.expect("recorded");
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

#[tokio::test]
async fn capacity_under_the_hourly_limit_goes_to_the_run_that_has_waited_longest() {
    let limits = LoopAiLimits { max_executions: None, max_per_hour: Some(2) };
    let records = Records::new().await;
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(records.submission().await);
    }
    let [first, second, third, fourth, fifth] = runs[..] else { unreachable!() };
    granted(&records, first, limits).await;
    granted(&records, second, limits).await;
    for run in [third, fourth, fifth] {
        assert_eq!(deferred(&records, run, limits).await.0, WaitReason::HourlyLimit);
    }
    let taken_ago = |run: RunKey, seconds| {
        format!(
            "UPDATE loopai_slots SET acquired_at = NOW(6) - INTERVAL {seconds} SECOND \
             WHERE submission_id = '{}'",
            run.submission
        )
    };
    records.database.execute(&taken_ago(first, 3600)).await;
    records.database.execute(&taken_ago(second, 3580)).await;

    // There is room for one run now, for another in 20 s, and for the last in an hour.
    let (reason, after) = deferred(&records, fourth, limits).await;
    assert_eq!(reason, WaitReason::HourlyLimit, "the third is first in line");
    assert!(after <= 22 * SECOND, "{after:?}");
    let (reason, after) = deferred(&records, fifth, limits).await;
    assert_eq!(reason, WaitReason::HourlyLimit);
    assert!(after >= 30 * SECOND, "{after:?}");
    let permit = granted(&records, third, limits).await;
    // A repeated request is counted already, so it takes no room from waiting runs, although it is
    // the newest.
    records
        .store
        .record_loopai_request(permit, RequestHealth::Unavailable)
        .await
        .expect("recorded");
    granted(&records, third, limits).await;
    records.remove().await;
}

#[tokio::test]
async fn a_slot_left_behind_by_its_run_is_freed_later() {
    let records = Records::new().await;
    let (left_behind, superseded) = (records.submission().await, records.submission().await);
    let (held, queued) = (records.submission().await, records.submission().await);
    let three = LoopAiLimits { max_executions: Some(3), max_per_hour: None };
    for run in [left_behind, superseded, held] {
        granted(&records, run, three).await;
    }
    // As by a worker of a version without slots.
    for (run, change) in [(left_behind, "status = 'completed'"), (superseded, "run_number = 2")] {
        let ends = format!("UPDATE submissions SET {change} WHERE id = '{}'", run.submission);
        records.database.execute(&ends).await;
    }
    assert_eq!(deferred(&records, queued, three).await.0, WaitReason::Slot);

    assert_eq!(records.store.release_stale_slots().await.expect("a response"), 2);

    granted(&records, queued, three).await;
    assert_eq!(records.store.loopai_usage().await.expect("a response").running, 2);
    assert_eq!(records.store.release_stale_slots().await.expect("a response"), 0);
    records.remove().await;
}
