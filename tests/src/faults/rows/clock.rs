//! The row for a host whose clock is wrong.

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

const SECRET_KEY: &str = "a secret for tests, 32 characters or more";

/// One API process's clock is an hour ahead, and then an hour behind. A second API process and the worker have the
/// correct time. LoopAI fetches images through signed links, whose expiry is set by the worker and checked by the APIs.
///
/// Patients are not affected. Access tokens issued by one API and validated by the other expire an hour too early or
/// too late. A client that gets `token_expired` uses its refresh token. The API with the wrong clock rejects callbacks
/// (`invalid_signature`), and the run falls back to polling. No data is lost.
pub(crate) async fn off_by_an_hour() -> RowReport {
    off_by(ClockSkew::Ahead).await.merge(off_by(ClockSkew::Behind).await)
}

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
        // The lifetime of links must exceed the largest difference between the clocks (`docs/loopai.md`).
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
    let response = staff.post(&path, &json!({"reason": "the clock is wrong"})).await;
    assert!(response.status().is_success(), "{}", response.status());
    testbed.record_staff_action(&submission, "submission_retry");
    testbed.stack.wait_for_status(&submission, "completed").await;

    assert_patients_unaffected(&mut testbed, &skewed, &accurate).await;
    let at_accurate = Staff::sign_in(&accurate, staff.id, staff.email.clone()).await;
    match skew {
        // Each token is issued by one API and validated by the other.
        ClockSkew::Ahead => {
            assert_eq!(
                validate_session(&staff.at_api(&accurate)).await,
                None,
                "valid for another hour"
            );
            assert_expired_then_refreshed(&at_accurate.at_api(&skewed), &skewed).await;
        }
        ClockSkew::Behind => {
            assert_expired_then_refreshed(&staff.at_api(&accurate), &accurate).await;
            assert_eq!(
                validate_session(&at_accurate.at_api(&skewed)).await,
                None,
                "valid for another hour"
            );
        }
    }
    assert_links(&testbed, skew, &submission, &skewed, &accurate).await;
    assert_callbacks(&mut testbed, &skewed, &accurate).await;
    let report = testbed.report().await;
    replica.stop().await;
    report
}

async fn start_two(testbed: &mut Testbed, skew: ClockSkew) -> (Process, ApiClient) {
    let by = if skew == ClockSkew::Ahead { "+1h" } else { "-1h" };
    let fake = [
        ("LD_PRELOAD", servers::faketime().display().to_string()),
        ("FAKETIME", by.to_owned()),
        // The monotonic clock, on which time limits are based, remains correct.
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
    assert_eq!(
        minutes_ahead(&testbed.stack.client).await,
        minutes,
        "the clock is wrong by an hour"
    );
    assert_eq!(minutes_ahead(&accurate).await, 0, "the other API's clock is correct");
    (replica, accurate)
}

/// Returns how many minutes ahead the API's clock is, according to its `Date` header.
async fn minutes_ahead(api: &ApiClient) -> i64 {
    let response = api.get("/health").await;
    let date = response.headers()["date"].to_str().expect("text").to_owned();
    let date_of_response = chrono::DateTime::parse_from_rfc2822(&date).expect("an RFC 2822 date");
    let seconds = (date_of_response.to_utc() - chrono::Utc::now()).num_seconds();
    // The difference is rounded to the nearest minute.
    (seconds + 30).div_euclid(60)
}

/// Asserts that each API accepts submission tokens from both, and that both APIs stream the same events.
async fn assert_patients_unaffected(
    testbed: &mut Testbed,
    skewed: &ApiClient,
    accurate: &ApiClient,
) {
    for (by, at) in [(skewed, accurate), (accurate, skewed)] {
        let (email, photo) = (testbed.new_patient(), photos::cat());
        let body = ApiClient::submission_body(&email, "", std::slice::from_ref(&photo));
        let response = by.post(&body, None).await.expect("a response");
        let submission = testbed.record_accepted(response, &email, "", &[photo]).await;
        testbed.listen_at(at, &submission);
        let document = at.status(&submission).await.expect("a response");
        assert_eq!(document["submission_id"], submission.submission_id.as_str(), "{document}");
    }
}

/// Validates the session's access token. Returns the error, or `None` if the token is valid.
async fn validate_session(staff: &Staff) -> Option<(u16, String)> {
    let response = staff.get("/api/v1/auth/validate").await;
    match response.status() {
        StatusCode::OK => None,
        _ => Some(refusal(response).await),
    }
}

async fn assert_expired_then_refreshed(staff: &Staff, at: &ApiClient) {
    assert_eq!(validate_session(staff).await, Some((401, "token_expired".to_owned())));
    let refresh = reqwest::Client::new().post(at.url("/api/v1/auth/refresh"));
    let body = json!({"refresh_token": staff.session["refresh_token"]});
    let response = refresh.json(&body).send().await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK, "the session continues");
    let session: Value = response.json().await.expect("JSON");
    let token = session["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(validate_session(&staff.with_token(token)).await, None);
}

/// Asserts that an API checks link expiry against its own clock. If its clock is ahead, it rejects a link that expires
/// in 30 minutes. If its clock is behind, it accepts one that expired 30 minutes ago. LoopAI's links are valid for
/// longer than the clocks differ.
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
    assert!(!images.is_empty(), "LoopAI fetched images from the API with the wrong clock");
    assert!(images.iter().all(|image| image.sha256_matches == Some(true)), "{images:?}");
    let key = LinkKey::new(&SECRET_KEY.into());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
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

/// Asserts that the API with the wrong clock rejects a callback and that the other API accepts it.
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
