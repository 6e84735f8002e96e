//! The clock of a machine.

use crate::faults::acknowledged::ExpectedEnd;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::process::Process;
use crate::responses::refusal;
use crate::stack::{StackOptions, id_of};
use crate::staff::Staff;
use crate::{AcceptedSubmission, ApiClient, assertions, loopai_callback, photos, servers};
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
pub(crate) async fn off_by_an_hour() -> RowReport {
    off_by(ClockSkew::Ahead).await.merge(off_by(ClockSkew::Behind).await)
}

/// How the clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClockSkew {
    Ahead,
    Behind,
}

async fn off_by(skew: ClockSkew) -> RowReport {
    let options = StackOptions::default()
        .with("SECRET_KEY", SECRET_KEY)
        .with("LOOPAI_CALLBACK_SECRET", loopai_callback::SECRET)
        .with("LOOPAI_IMAGES", "url")
        // Longer than clocks may differ, as docs/loopai.md says.
        .with("LOOPAI_IMAGE_URL_LIFETIME_SECONDS", "7200");
    let mut testbed = Testbed::without_processes(options).await;
    let (replica, accurate) = start_two(&mut testbed, skew).await;
    let skewed = testbed.stack.client.clone();

    let submission = testbed.submit_with_comments("[sim: fail*1, delay=100ms]").await;
    testbed
        .allow_ends(&submission, &[ExpectedEnd::failed("loopai_failed"), ExpectedEnd::COMPLETED]);
    testbed.stack.wait_for_status(&submission, "failed").await;
    let staff = Staff::with_role(&testbed.stack, Role::Operator).await;
    let path = format!("/api/admin/submissions/{}/retry", submission.submission_id);
    let answer = staff.post(&path, &json!({"reason": "the clock is off"})).await;
    assert!(answer.status().is_success(), "{}", answer.status());
    testbed.record_staff_action(&submission, "submission_retry");
    testbed.stack.wait_for_status(&submission, "completed").await;

    assert_patients_unaffected(&mut testbed, &skewed, &accurate).await;
    let at_accurate = Staff::sign_in(&accurate, staff.id, staff.email.clone()).await;
    match skew {
        // Given out by one, brought to the other.
        ClockSkew::Ahead => {
            assert_eq!(
                validate_session(&staff.at_api(&accurate)).await,
                None,
                "good for an hour longer"
            );
            assert_expired_then_refreshed(&at_accurate.at_api(&skewed), &skewed).await;
        }
        ClockSkew::Behind => {
            assert_expired_then_refreshed(&staff.at_api(&accurate), &accurate).await;
            assert_eq!(
                validate_session(&at_accurate.at_api(&skewed)).await,
                None,
                "good for an hour longer"
            );
        }
    }
    assert_links(&testbed, skew, &submission, &skewed, &accurate).await;
    assert_callbacks(&mut testbed, &skewed, &accurate).await;
    let report = testbed.report().await;
    replica.stop().await;
    report
}

/// An API whose clock is off, and a right one with a right worker.
async fn start_two(testbed: &mut Testbed, skew: ClockSkew) -> (Process, ApiClient) {
    let by = if skew == ClockSkew::Ahead { "+1h" } else { "-1h" };
    let fake = [
        ("LD_PRELOAD", servers::faketime().display().to_string()),
        ("FAKETIME", by.to_owned()),
        // Time limits go by the other clock, which is not off.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    for (name, value) in &fake {
        testbed.stack.set(name, value);
    }
    testbed.stack.start_api().await;
    for (name, _) in &fake {
        testbed.stack.unset(name);
    }
    testbed.stack.start_worker().await;
    let (replica, accurate) = testbed.stack.start_replica().await;
    let minutes = if skew == ClockSkew::Ahead { 60 } else { -60 };
    assert_eq!(minutes_ahead(&testbed.stack.client).await, minutes, "one tells another time");
    assert_eq!(minutes_ahead(&accurate).await, 0, "one is right");
    (replica, accurate)
}

/// By how much an API's clock differs from ours, by the `Date` of its answers.
async fn minutes_ahead(api: &ApiClient) -> i64 {
    let answer = api.get("/health").await;
    let date = answer.headers()["date"].to_str().expect("a text").to_owned();
    let date_of_response = chrono::DateTime::parse_from_rfc2822(&date).expect("a date");
    let seconds = (date_of_response.to_utc() - chrono::Utc::now()).num_seconds();
    // To the nearest minute.
    (seconds + 30).div_euclid(60)
}

/// Each token opens its submission at both APIs, whoever gave it out, and the stream is the same.
async fn assert_patients_unaffected(
    testbed: &mut Testbed,
    skewed: &ApiClient,
    accurate: &ApiClient,
) {
    for (by, at) in [(skewed, accurate), (accurate, skewed)] {
        let (email, photo) = (testbed.new_patient(), photos::cat());
        let body = ApiClient::submission_body(&email, "", std::slice::from_ref(&photo));
        let answer = by.post(&body, None).await.expect("an answer");
        let submission = testbed.record_accepted(answer, &email, "", &[photo]).await;
        testbed.listen_at(at, &submission);
        let document = at.status(&submission).await.expect("an answer");
        assert_eq!(document["submission_id"], submission.submission_id.as_str(), "{document}");
    }
}

/// What staff are refused with when they read something; none when they may.
async fn validate_session(staff: &Staff) -> Option<(u16, String)> {
    let answer = staff.get("/api/v1/auth/validate").await;
    match answer.status() {
        StatusCode::OK => None,
        _ => Some(refusal(answer).await),
    }
}

/// They are told that their token is over, and get one that is good here by their refresh token.
async fn assert_expired_then_refreshed(staff: &Staff, at: &ApiClient) {
    assert_eq!(validate_session(staff).await, Some((401, "token_expired".to_owned())));
    let refresh = reqwest::Client::new().post(at.url("/api/v1/auth/refresh"));
    let body = json!({"refresh_token": staff.session["refresh_token"]});
    let answer = refresh.json(&body).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "the session goes on");
    let session: Value = answer.json().await.expect("JSON");
    let token = session["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(validate_session(&staff.with_token(token)).await, None);
}

/// A link ends by the clock of whoever is asked: one for half an hour is over for who is an hour fast, and one
/// that ended half an hour ago is good for who is an hour slow. LoopAI's own last longer than clocks may differ.
async fn assert_links(
    testbed: &Testbed,
    skew: ClockSkew,
    submission: &AcceptedSubmission,
    skewed: &ApiClient,
    accurate: &ApiClient,
) {
    let files = testbed.stack.store.files(id_of(submission)).await.expect("files");
    let executions = assertions::executions(&testbed.stack, submission);
    let images: Vec<_> = executions.iter().flat_map(|execution| &execution.images).collect();
    assert!(!images.is_empty(), "LoopAI fetched images from the API that is off");
    assert!(images.iter().all(|image| image.sha256_matches == Some(true)), "{images:?}");
    let key = LinkKey::new(SECRET_KEY);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let (half_an_hour, two_hours) = (1800, 7200);
    for (expires, at_skewed, at_accurate) in [
        (now + two_hours, 200, 200),
        (now + half_an_hour, if skew == ClockSkew::Ahead { 404 } else { 200 }, 200),
        (now - half_an_hour, if skew == ClockSkew::Ahead { 404 } else { 200 }, 404),
        (now - two_hours, 404, 404),
    ] {
        let path = key.path(files[0].id, expires);
        let at = (skewed.get(&path).await.status(), accurate.get(&path).await.status());
        assert_eq!((at.0.as_u16(), at.1.as_u16()), (at_skewed, at_accurate), "{expires} at {now}");
    }
}

/// A call-back is refused by the API that is off, and taken by the right one; the run comes to its end either
/// way.
async fn assert_callbacks(testbed: &mut Testbed, skewed: &ApiClient, accurate: &ApiClient) {
    let submission = testbed.submit_with_comments("[sim: delay=2s]").await;
    testbed.stack.wait_for_status(&submission, "processing").await;
    let body = format!(r#"{{"submission_id":"{}"}}"#, submission.submission_id);
    let call = async |api| {
        loopai_callback::send(api, &body, loopai_callback::SECRET, Duration::ZERO).await
    };
    assert_eq!(refusal(call(skewed).await).await, (401, "invalid_signature".to_owned()));
    assert_eq!(call(accurate).await.status(), StatusCode::ACCEPTED);
}
