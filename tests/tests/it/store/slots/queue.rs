//! Tests of slots and the hourly limit: which run comes next, and when a slot is freed.

use super::super::Records;
use super::{ONE, SECOND, adopt, deferred, granted, request_slot, steps};
use diagflow_store::{
    DiagnosisResult, EndStatus, LoopAiLimits, RequestHealth, RunEnd, RunKey, SlotOutcome,
    WaitReason,
};
use futures::future::join_all;
use uuid::Uuid;

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
    // However often a run is deferred, the patient gets only one event about it.
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
    // A run that is adopted after its submission has completed gets no slot.
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
        "the third run must wait until the second run has had its turn"
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

    // The hourly limit allows one run now, another in 20 s, and the last in an hour.
    let (reason, after) = deferred(&records, fourth, limits).await;
    assert_eq!(
        reason,
        WaitReason::HourlyLimit,
        "the fourth run must wait until the third run has had its turn"
    );
    assert!(after <= 22 * SECOND, "{after:?}");
    let (reason, after) = deferred(&records, fifth, limits).await;
    assert_eq!(reason, WaitReason::HourlyLimit);
    assert!(after >= 30 * SECOND, "{after:?}");
    let permit = granted(&records, third, limits).await;
    // A repeated request uses no further capacity because the run already counts towards the hourly limit.
    records
        .store
        .record_loopai_request(permit, RequestHealth::Unreachable)
        .await
        .expect("recorded");
    granted(&records, third, limits).await;
    records.remove().await;
}

#[tokio::test]
async fn a_slot_that_its_run_did_not_free_is_freed_later() {
    let records = Records::new().await;
    let (left_behind, superseded) = (records.submission().await, records.submission().await);
    let (held, queued) = (records.submission().await, records.submission().await);
    let three = LoopAiLimits { max_executions: Some(3), max_per_hour: None };
    for run in [left_behind, superseded, held] {
        granted(&records, run, three).await;
    }
    // The SQL ends the runs without freeing their slots, as a worker of an older version would.
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

const TWO: LoopAiLimits = LoopAiLimits { max_executions: Some(2), max_per_hour: None };

/// Sends two requests for each of two runs, and records that all of them failed.
async fn fail_twice(records: &Records, health: RequestHealth) -> [RunKey; 2] {
    let runs = [records.submission().await, records.submission().await];
    for _ in 0..2 {
        for run in runs {
            // An overloaded LoopAI gets fewer requests per second.
            records.database.execute("UPDATE loopai_breaker SET next_request_at = NULL").await;
            let permit = granted(records, run, TWO).await;
            records.store.record_loopai_request(permit, health).await.expect("recorded");
        }
    }
    records.database.execute("UPDATE loopai_breaker SET next_request_at = NULL").await;
    runs
}

#[tokio::test]
async fn runs_whose_requests_fail_repeatedly_hold_no_slots() {
    for health in
        [RequestHealth::ServerError, RequestHealth::Overloaded, RequestHealth::Unreachable]
    {
        let records = Records::new().await;
        fail_twice(&records, health).await;
        let outcome = request_slot(&records, records.submission().await, TWO).await;
        assert!(matches!(outcome, SlotOutcome::Granted(_)), "{health:?}: {outcome:?}");
        records.remove().await;
    }
}

#[tokio::test]
async fn runs_whose_requests_repeatedly_get_no_response_lose_their_slots_after_a_while() {
    let records = Records::new().await;
    let [first, second] = fail_twice(&records, RequestHealth::NoResponse).await;
    let others = [records.submission().await, records.submission().await];
    assert_eq!(deferred(&records, others[0], TWO).await.0, WaitReason::Slot);
    let expired = "UPDATE loopai_slots SET held_until = held_until - INTERVAL 45 SECOND";
    records.database.execute(expired).await;

    assert_eq!(records.store.loopai_usage().await.expect("a response").running, 0);
    granted(&records, others[0], TWO).await;
    // A run that sends another request holds its slot until the outcome is known.
    let permit = granted(&records, first, TWO).await;
    records.database.execute(expired).await;
    for run in [others[1], second] {
        assert_eq!(deferred(&records, run, TWO).await.0, WaitReason::Slot);
    }
    records.store.record_loopai_request(permit, RequestHealth::Accepted).await.expect("recorded");
    records.database.execute(expired).await;
    assert_eq!(records.store.loopai_usage().await.expect("a response").running, 2);
    records.remove().await;
}
