//! Places at LoopAI: who gets one, who waits, and when a place is free again.

use super::Records;
use diagflow_store::{
    Adoption, Budget, DiagnosisResult, Ending, Entry, GateState, Heard, Outcome, Pass, RunKey,
    StoreResult, Wait,
};
use futures::future::join_all;
use std::time::Duration;
use uuid::Uuid;

const ONE: Budget = Budget { at_once: Some(1), an_hour: None };
const SECOND: Duration = Duration::from_secs(1);

async fn enter(records: &Records, run: RunKey, budget: Budget) -> Entry {
    records.store.enter_loopai(run, budget).await.expect("an answer")
}

async fn admitted(records: &Records, run: RunKey, budget: Budget) -> Pass {
    match enter(records, run, budget).await {
        Entry::Admitted(pass) => pass,
        other => panic!("{other:?}"),
    }
}

/// Why a run has to wait, and how long it is told to.
async fn turned_away(records: &Records, run: RunKey, budget: Budget) -> (Wait, Duration) {
    match enter(records, run, budget).await {
        Entry::TurnedAway { why, after } => (why, after),
        other => panic!("{other:?}"),
    }
}

async fn steps(records: &Records, run: RunKey) -> Vec<&'static str> {
    let events = records.store.events(run.submission, 0).await.expect("events");
    events.iter().map(|event| event.step.name()).collect()
}

/// Adopts a run as its worker does; `history_began_as` differs after a *Reset*.
async fn adopt(
    records: &Records,
    run: RunKey,
    began_as: Uuid,
    execution: Option<&str>,
) -> StoreResult<RunKey> {
    let now = Uuid::new_v4().to_string();
    match records.store.adopt(run, &now, &began_as.to_string(), execution).await? {
        Adoption::Current { run, .. } => Ok(run),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_more_places_are_given_out_than_there_are_however_many_ask_at_once() {
    const PLACES: i64 = 5;
    let records = Records::new().await;
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(records.submission().await);
    }
    let budget = Budget { at_once: Some(PLACES), an_hour: None };

    for _ in 0..2 {
        let all = join_all(runs.iter().map(|run| enter(&records, *run, budget))).await;
        let admitted = all.iter().filter(|entry| matches!(entry, Entry::Admitted(_))).count();
        assert_eq!(admitted as i64, PLACES, "{all:?}");
    }

    let now = records.store.loopai_use().await.expect("an answer");
    assert_eq!((now.under_way, now.within_the_hour, now.waiting), (PLACES, PLACES, 15));
    // However often it is turned away, the patient is told once.
    let mut told = 0;
    for run in runs {
        let steps = steps(&records, run).await;
        assert!(steps == ["received"] || steps == ["received", "waiting"], "{steps:?}");
        told += steps.len() - 1;
    }
    assert_eq!(told, 15);
    records.remove().await;
}

#[tokio::test]
async fn a_place_belongs_to_the_run_and_is_free_however_it_ends() {
    let records = Records::new().await;
    let store = &records.store;
    for way in ["completed", "failed", "timed out", "cancelled", "lost", "reset"] {
        let (run, other) = (records.submission().await, records.submission().await);
        let began_as = Uuid::new_v4();
        let name = began_as.to_string();
        store.run_started(run, &name).await.expect("started");
        for _ in 0..3 {
            admitted(&records, run, ONE).await;
        }
        store.diagnosis_requested(run, 1, "execution").await.expect("requested");
        assert_eq!(turned_away(&records, other, ONE).await.0, Wait::Place, "{way}");

        let end = |outcome| Ending { outcome, code: "a_code".into(), detail: String::new() };
        match way {
            "completed" => {
                let result = DiagnosisResult::new(serde_json::Map::new());
                store.diagnosis_completed(run, &result).await.map(|_| ())
            }
            "failed" => store.diagnosis_ended(run, &end(Outcome::Failed)).await.map(|_| ()),
            "timed out" => store.diagnosis_ended(run, &end(Outcome::TimedOut)).await.map(|_| ()),
            "cancelled" => store.diagnosis_ended(run, &end(Outcome::Cancelled)).await.map(|_| ()),
            "lost" => store.end_lost_run(run).await.map(|_| ()),
            _ => adopt(&records, run, began_as, None).await.map(|_| ()),
        }
        .expect("ends");

        admitted(&records, other, ONE).await;
        store.diagnosis_ended(other, &end(Outcome::Failed)).await.expect("ends");
    }
    records.remove().await;
}

#[tokio::test]
async fn a_reset_that_goes_on_with_its_execution_keeps_a_place() {
    let records = Records::new().await;
    let (run, other) = (records.submission().await, records.submission().await);
    let began_as = Uuid::new_v4();
    records.store.run_started(run, &began_as.to_string()).await.expect("started");
    admitted(&records, run, ONE).await;
    records.store.diagnosis_requested(run, 1, "execution").await.expect("requested");

    let reset = adopt(&records, run, began_as, Some("execution")).await.expect("adopted");
    assert_eq!(turned_away(&records, other, ONE).await.0, Wait::Place);

    let result = DiagnosisResult::new(serde_json::Map::new());
    records.store.diagnosis_completed(reset, &result).await.expect("completed");
    // One that finds its submission completed has nothing under way.
    adopt(&records, run, began_as, Some("execution")).await.expect("adopted");
    admitted(&records, other, ONE).await;
    records.remove().await;
}

#[tokio::test]
async fn a_run_that_ended_or_was_overtaken_meanwhile_gets_no_place() {
    let records = Records::new().await;
    let (ended, overtaken) = (records.submission().await, records.submission().await);
    let ending =
        Ending { outcome: Outcome::Cancelled, code: "cancelled".into(), detail: String::new() };
    records.store.diagnosis_ended(ended, &ending).await.expect("ends");
    adopt(&records, overtaken, Uuid::new_v4(), None).await.expect("adopted");

    assert!(matches!(enter(&records, ended, ONE).await, Entry::Ended));
    assert!(matches!(enter(&records, overtaken, ONE).await, Entry::Superseded));

    assert_eq!(records.store.loopai_use().await.expect("an answer").under_way, 0);
    records.remove().await;
}

#[tokio::test]
async fn a_free_place_goes_to_whoever_waits_longest_and_still_comes() {
    let records = Records::new().await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(records.submission().await);
    }
    let [first, second, third] = runs[..] else { unreachable!() };
    admitted(&records, first, ONE).await;
    turned_away(&records, second, ONE).await;
    turned_away(&records, third, ONE).await;
    let ending = Ending { outcome: Outcome::Failed, code: "a_code".into(), detail: String::new() };
    records.store.diagnosis_ended(first, &ending).await.expect("ends");

    assert_eq!(turned_away(&records, third, ONE).await.0, Wait::Place, "the second is before it");
    let lost_its_turn = format!(
        "UPDATE loopai_places SET waits_until = NOW(6) - INTERVAL 1 SECOND WHERE submission_id = '{}'",
        second.submission
    );
    records.database.run(&lost_its_turn).await;
    admitted(&records, third, ONE).await;
    records.remove().await;
}

#[tokio::test]
async fn an_hour_has_room_for_so_many_whether_they_have_ended_or_not() {
    let budget = Budget { at_once: None, an_hour: Some(2) };
    let records = Records::new().await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(records.submission().await);
    }
    admitted(&records, runs[0], budget).await;
    let ending = Ending { outcome: Outcome::Failed, code: "a_code".into(), detail: String::new() };
    records.store.diagnosis_ended(runs[0], &ending).await.expect("ends");
    admitted(&records, runs[1], budget).await;
    admitted(&records, runs[1], budget).await;

    let (why, after) = turned_away(&records, runs[2], budget).await;
    assert_eq!(why, Wait::Hour);
    assert!(after <= 60 * SECOND, "{after:?}");
    let an_hour_ago = format!(
        "UPDATE loopai_places SET taken_at = NOW(6) - INTERVAL 3590 SECOND WHERE submission_id = '{}'",
        runs[0].submission
    );
    records.database.run(&an_hour_ago).await;
    let (_, after) = turned_away(&records, runs[2], budget).await;
    assert!(after <= 10 * SECOND, "{after:?}");
    let older = "UPDATE loopai_places SET taken_at = taken_at - INTERVAL 10 SECOND";
    records.database.run(older).await;
    admitted(&records, runs[2], budget).await;
    records.remove().await;
}

#[tokio::test]
async fn the_gate_is_the_same_for_all_and_says_when_to_come_again() {
    let records = Records::new().await;
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(records.submission().await);
    }
    let mut told = None;
    for run in &runs[..5] {
        let pass = admitted(&records, *run, Budget::default()).await;
        assert_eq!(told, None);
        told = records.store.loopai_heard(pass, Heard::Away).await.expect("noted");
    }
    assert!(told.is_some(), "the one that shut it is told when to come again");
    assert_eq!(steps(&records, runs[4]).await, ["received", "waiting"]);

    let mut before = Duration::ZERO;
    for run in &runs[5..] {
        let (why, after) = turned_away(&records, *run, Budget::default()).await;
        assert_eq!(why, Wait::LoopAi);
        assert!(after > before, "each after the other");
        before = after;
    }
    let now = records.store.loopai_use().await.expect("an answer");
    assert_eq!((now.gate, now.waiting), (GateState::Shut, 8));
    let away = records.store.loopai_away(runs[0].submission).await.expect("an answer");
    assert!(away.is_some());

    records.database.run("UPDATE loopai_gate SET shut_until = NOW(6)").await;
    let probe = admitted(&records, runs[7], Budget::default()).await;
    assert_eq!(turned_away(&records, runs[6], Budget::default()).await.0, Wait::LoopAi);
    records.store.loopai_heard(probe, Heard::Well).await.expect("noted");
    let now = records.store.loopai_use().await.expect("an answer");
    assert_eq!((now.gate, now.waiting), (GateState::Ajar, 7));
    records.remove().await;
}

#[tokio::test]
async fn one_that_went_well_breaks_the_row_of_failures_though_nothing_was_wrong_when_it_was_let_through()
 {
    let records = Records::new().await;
    let mut passes = Vec::new();
    for _ in 0..6 {
        let run = records.submission().await;
        passes.push(admitted(&records, run, Budget::default()).await);
    }
    for (place, pass) in passes.into_iter().enumerate() {
        let heard = if place == 4 { Heard::Well } else { Heard::Away };
        records.store.loopai_heard(pass, heard).await.expect("noted");
    }
    let now = records.store.loopai_use().await.expect("an answer");
    assert_eq!(now.gate, GateState::Open, "five failed, but not in a row");
    records.remove().await;
}

/// A gate that was shut long enough: the next one tries.
const TO_BE_TRIED: &str = "UPDATE loopai_gate SET epoch = 1, shut_until = NOW(6)";

#[tokio::test]
async fn a_request_that_is_lost_with_its_worker_does_not_keep_the_gate_shut() {
    let records = Records::new().await;
    let (lost, other) = (records.submission().await, records.submission().await);
    records.database.run(TO_BE_TRIED).await;
    admitted(&records, lost, Budget::default()).await;
    assert_eq!(turned_away(&records, other, Budget::default()).await.0, Wait::LoopAi);

    // As if the time had passed in which something could have been heard of it.
    records.database.run("UPDATE loopai_gate SET probe_until = NOW(6)").await;

    let pass = admitted(&records, other, Budget::default()).await;
    records.store.loopai_heard(pass, Heard::Well).await.expect("noted");
    let now = records.store.loopai_use().await.expect("an answer");
    assert_eq!(now.gate, GateState::Open);
    records.remove().await;
}

#[tokio::test]
async fn who_is_let_through_and_does_not_ask_lets_another_try_at_once() {
    let records = Records::new().await;
    let (unable, other) = (records.submission().await, records.submission().await);
    records.database.run(TO_BE_TRIED).await;
    let pass = admitted(&records, unable, Budget::default()).await;
    assert_eq!(turned_away(&records, other, Budget::default()).await.0, Wait::LoopAi);

    records.store.loopai_not_asked(pass).await.expect("noted");

    let now = records.store.loopai_use().await.expect("an answer");
    assert_eq!(now.gate, GateState::Shut, "nothing was heard of LoopAI");
    admitted(&records, other, Budget::default()).await;
    // What is told late must not let a third one try beside it.
    records.database.run("UPDATE loopai_gate SET epoch = 2").await;
    records.store.loopai_not_asked(pass).await.expect("noted");
    assert_eq!(turned_away(&records, unable, Budget::default()).await.0, Wait::LoopAi);
    records.remove().await;
}

#[tokio::test]
async fn one_whose_request_fails_again_is_told_that_it_waits_though_the_gate_is_open() {
    let records = Records::new().await;
    let run = records.submission().await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let pass = admitted(&records, run, Budget::default()).await;
        records.store.loopai_heard(pass, Heard::Away).await.expect("noted");
        told.push(steps(&records, run).await);
    }
    let now = records.store.loopai_use().await.expect("an answer");
    assert_eq!(now.gate, GateState::Open);
    let waits = vec!["received", "waiting"];
    assert_eq!(told, [vec!["received"], waits.clone(), waits]);
    records.remove().await;
}

#[tokio::test]
async fn room_within_the_hour_goes_to_whoever_waits_longest() {
    let budget = Budget { at_once: None, an_hour: Some(2) };
    let records = Records::new().await;
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(records.submission().await);
    }
    let [first, second, third, fourth, fifth] = runs[..] else { unreachable!() };
    admitted(&records, first, budget).await;
    admitted(&records, second, budget).await;
    for run in [third, fourth, fifth] {
        assert_eq!(turned_away(&records, run, budget).await.0, Wait::Hour);
    }
    let begun = |run: RunKey, seconds| {
        format!(
            "UPDATE loopai_places SET taken_at = NOW(6) - INTERVAL {seconds} SECOND \
             WHERE submission_id = '{}'",
            run.submission
        )
    };
    records.database.run(&begun(first, 3600)).await;
    records.database.run(&begun(second, 3580)).await;

    // There is room for one now, for another in 20 s, and for the last in an hour.
    let (why, after) = turned_away(&records, fourth, budget).await;
    assert_eq!(why, Wait::Hour, "the third is before it");
    assert!(after <= 22 * SECOND, "{after:?}");
    let (why, after) = turned_away(&records, fifth, budget).await;
    assert_eq!(why, Wait::Hour);
    assert!(after >= 30 * SECOND, "{after:?}");
    let pass = admitted(&records, third, budget).await;
    // One that comes again counts already, and takes nothing from those who wait, though it is the last now.
    records.store.loopai_heard(pass, Heard::Away).await.expect("noted");
    admitted(&records, third, budget).await;
    records.remove().await;
}

#[tokio::test]
async fn a_place_that_was_not_freed_with_its_run_is_freed_later() {
    let records = Records::new().await;
    let (forgotten, overtaken) = (records.submission().await, records.submission().await);
    let (held, queued) = (records.submission().await, records.submission().await);
    let three = Budget { at_once: Some(3), an_hour: None };
    for run in [forgotten, overtaken, held] {
        admitted(&records, run, three).await;
    }
    // As a worker does that knows nothing of places.
    for (run, change) in [(forgotten, "status = 'completed'"), (overtaken, "run_number = 2")] {
        let ends = format!("UPDATE submissions SET {change} WHERE id = '{}'", run.submission);
        records.database.run(&ends).await;
    }
    assert_eq!(turned_away(&records, queued, three).await.0, Wait::Place);

    assert_eq!(records.store.free_forgotten_places().await.expect("an answer"), 2);

    admitted(&records, queued, three).await;
    assert_eq!(records.store.loopai_use().await.expect("an answer").under_way, 2);
    assert_eq!(records.store.free_forgotten_places().await.expect("an answer"), 0);
    records.remove().await;
}
