//! The clock of a machine.

use crate::faults::ledger::End;
use crate::faults::report::Report;
use crate::faults::world::World;
use crate::process::Process;
use crate::stack::{StackOptions, id_of};
use crate::staff::{Staff, refusal};
use crate::{Accepted, ApiClient, call_back, invariants, photos, servers};
use diagflow_store::{LinkKey, Role};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECRET_KEY: &str = "a secret of the tests, 32 characters or more";

/// The clock of one API goes an hour before everybody else's, and an hour after it, beside another one that is
/// right. Images go by links, whose end the worker reckons and the APIs check.
///
/// What patients do knows no clock. What has an end by the clock of the API that gave it out is refused early
/// elsewhere with a code that tells what to do (`token_expired`: a new one by the refresh token is good
/// everywhere that it is not yet over), or is good for an hour longer; a call-back is refused by the API that is
/// off (`invalid_signature`), and the run looks by itself. Nothing is lost.
pub(crate) async fn off_by_an_hour() -> Report {
    off_by(Hour::Fast).await.and(off_by(Hour::Slow).await)
}

/// How the clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hour {
    Fast,
    Slow,
}

async fn off_by(hour: Hour) -> Report {
    let options = StackOptions::default()
        .with("SECRET_KEY", SECRET_KEY)
        .with("LOOPAI_CALLBACK_SECRET", call_back::SECRET)
        .with("LOOPAI_IMAGES", "url")
        // Longer than clocks may differ, as docs/loopai.md says.
        .with("LOOPAI_IMAGE_URL_SECONDS", "7200");
    let mut world = World::without_processes(options).await;
    let (replica, right) = start_two(&mut world, hour).await;
    let off = world.stack.client.clone();

    let submission = world.submit_saying("[sim: fail*1, delay=100ms]").await;
    world.ends(&submission, &[End::failed("loopai_failed"), End::COMPLETED]);
    world.stack.until(&submission, "failed").await;
    let staff = Staff::with_role(&world.stack, Role::Operator).await;
    let path = format!("/api/admin/submissions/{}/retry", submission.submission_id);
    let answer = staff.post(&path, &json!({"reason": "the clock is off"})).await;
    assert!(answer.status().is_success(), "{}", answer.status());
    world.moved(&submission, "submission_retry");
    world.stack.until(&submission, "completed").await;

    patients_notice_nothing(&mut world, &off, &right).await;
    let at_right = Staff::signed_in(&right, staff.id, staff.email.clone()).await;
    match hour {
        // Given out by one, brought to the other.
        Hour::Fast => {
            assert_eq!(reads(&staff.at(&right)).await, None, "good for an hour longer");
            expired_until_refreshed(&at_right.at(&off), &off).await;
        }
        Hour::Slow => {
            expired_until_refreshed(&staff.at(&right), &right).await;
            assert_eq!(reads(&at_right.at(&off)).await, None, "good for an hour longer");
        }
    }
    links(&world, hour, &submission, &off, &right).await;
    call_backs(&mut world, &off, &right).await;
    let report = world.report().await;
    replica.stopped().await;
    report
}

/// An API whose clock is off, and a right one with a right worker.
async fn start_two(world: &mut World, hour: Hour) -> (Process, ApiClient) {
    let by = if hour == Hour::Fast { "+1h" } else { "-1h" };
    let fake = [
        ("LD_PRELOAD", servers::faketime().display().to_string()),
        ("FAKETIME", by.to_owned()),
        // Time limits go by the other clock, which is not off.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    for (name, value) in &fake {
        world.stack.set(name, value);
    }
    world.stack.start_api().await;
    for (name, _) in &fake {
        world.stack.unset(name);
    }
    world.stack.start_worker().await;
    let (replica, right) = world.stack.start_replica().await;
    let minutes = if hour == Hour::Fast { 60 } else { -60 };
    assert_eq!(off_by_minutes(&world.stack.client).await, minutes, "one tells another time");
    assert_eq!(off_by_minutes(&right).await, 0, "one is right");
    (replica, right)
}

/// By how much an API's clock differs from ours, by the `Date` of its answers.
async fn off_by_minutes(api: &ApiClient) -> i64 {
    let answer = api.get("/health").await;
    let date = answer.headers()["date"].to_str().expect("a text").to_owned();
    let told = chrono::DateTime::parse_from_rfc2822(&date).expect("a date");
    let seconds = (told.to_utc() - chrono::Utc::now()).num_seconds();
    // To the nearest minute.
    (seconds + 30).div_euclid(60)
}

/// Each token opens its submission at both APIs, whoever gave it out, and the stream is the same.
async fn patients_notice_nothing(world: &mut World, off: &ApiClient, right: &ApiClient) {
    for (by, at) in [(off, right), (right, off)] {
        let (email, photo) = (world.patient(), photos::cat());
        let body = ApiClient::body(&email, "", std::slice::from_ref(&photo));
        let answer = by.post(&body, None).await.expect("an answer");
        let submission = world.acknowledge(answer, &email, "", &[photo]).await;
        world.listen_at(at, &submission);
        let document = at.status(&submission).await.expect("an answer");
        assert_eq!(document["submission_id"], submission.submission_id.as_str(), "{document}");
    }
}

/// What staff are refused with when they read something; none when they may.
async fn reads(staff: &Staff) -> Option<(u16, String)> {
    let answer = staff.get("/api/v1/auth/validate").await;
    match answer.status() {
        StatusCode::OK => None,
        _ => Some(refusal(answer).await),
    }
}

/// They are told that their token is over, and get one that is good here by their refresh token.
async fn expired_until_refreshed(staff: &Staff, at: &ApiClient) {
    assert_eq!(reads(staff).await, Some((401, "token_expired".to_owned())));
    let refresh = reqwest::Client::new().post(at.address("/api/v1/auth/refresh"));
    let given = json!({"refresh_token": staff.session["refresh_token"]});
    let answer = refresh.json(&given).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "the session goes on");
    let session: Value = answer.json().await.expect("JSON");
    let token = session["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(reads(&staff.with_token(token)).await, None);
}

/// A link ends by the clock of whoever is asked: one for half an hour is over for who is an hour fast, and one
/// that ended half an hour ago is good for who is an hour slow. LoopAI's own last longer than clocks may differ.
async fn links(
    world: &World,
    hour: Hour,
    submission: &Accepted,
    off: &ApiClient,
    right: &ApiClient,
) {
    let files = world.stack.store.files(id_of(submission)).await.expect("files");
    let executions = invariants::executions(&world.stack, submission);
    let images: Vec<_> = executions.iter().flat_map(|execution| &execution.images).collect();
    assert!(!images.is_empty(), "LoopAI fetched images from the API that is off");
    assert!(images.iter().all(|image| image.sha256_matches == Some(true)), "{images:?}");
    let key = LinkKey::new(SECRET_KEY);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let (half_an_hour, two_hours) = (1800, 7200);
    for (expires, at_off, at_right) in [
        (now + two_hours, 200, 200),
        (now + half_an_hour, if hour == Hour::Fast { 404 } else { 200 }, 200),
        (now - half_an_hour, if hour == Hour::Fast { 404 } else { 200 }, 404),
        (now - two_hours, 404, 404),
    ] {
        let path = key.path(files[0].id, expires);
        let at = (off.get(&path).await.status(), right.get(&path).await.status());
        assert_eq!((at.0.as_u16(), at.1.as_u16()), (at_off, at_right), "{expires} at {now}");
    }
}

/// A call-back is refused by the API that is off, and taken by the right one; the run comes to its end either
/// way.
async fn call_backs(world: &mut World, off: &ApiClient, right: &ApiClient) {
    let submission = world.submit_saying("[sim: delay=2s]").await;
    world.stack.until(&submission, "processing").await;
    let body = format!(r#"{{"submission_id":"{}"}}"#, submission.submission_id);
    let call = async |api| call_back::send(api, &body, call_back::SECRET, Duration::ZERO).await;
    assert_eq!(refusal(call(off).await).await, (401, "invalid_signature".to_owned()));
    assert_eq!(call(right).await.status(), StatusCode::ACCEPTED);
}
