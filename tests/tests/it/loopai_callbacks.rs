//! Tests of the requests that LoopAI sends to the API: image downloads through signed links, and callbacks.

use diagflow_store::LinkKey;
use diagflow_tests::cases::Case;
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, StackOptions, eventually, loopai_callback, photos};
use futures::StreamExt;
use reqwest::StatusCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[tokio::test]
async fn images_sent_as_links_arrive_unchanged() {
    let stack = Stack::with(StackOptions::default().with("LOOPAI_IMAGES", "url")).await;

    let accepted =
        stack.client.submit("ana@example.org", "", &[photos::retina(), photos::cat()]).await;
    stack.wait_for_status(&accepted, "completed").await;

    let executions = stack.loopai.executions();
    assert_eq!(executions[0].images.len(), 2);
    for image in &executions[0].images {
        assert_eq!(image.sha256_matches, Some(true), "{image:?}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_signed_link_opens_its_own_file_until_it_expires() {
    let secret = "a secret of the tests";
    let stack = Stack::with(StackOptions::default().with("SECRET_KEY", secret)).await;
    let photos = [photos::retina(), photos::cat()];
    let accepted = stack.client.submit("ana@example.org", "", &photos).await;
    let files = stack.store.files(id_of(&accepted)).await.expect("files");
    let key = LinkKey::new(&secret.into());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();

    let valid = stack.client.get(&key.path(files[0].id, now + 60)).await;
    assert_eq!(valid.headers()["content-type"], "image/jpeg");
    assert_eq!(valid.headers()["cache-control"], "private, no-store");
    assert_eq!(valid.bytes().await.expect("bytes"), photos[0].bytes);
    let for_other_file =
        key.path(files[0].id, now + 60).replace(&files[0].id.to_string(), &files[1].id.to_string());
    let unsigned = format!("/api/files/{}", files[0].id);
    for invalid in [key.path(files[0].id, now - 1), for_other_file, unsigned] {
        let response = stack.client.get(&invalid).await;
        assert_eq!(response.status().as_u16(), 404, "{invalid}");
        let body: serde_json::Value = response.json().await.expect("JSON");
        assert_eq!(body["error"]["code"], "not_found");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_signed_callback_ends_the_wait_for_the_next_poll() {
    let (stack, accepted) = Case::WokenByCallback.run().await;
    let events: Vec<_> = stack.client.events(&accepted, None).await.collect().await;
    assert_eq!(events.last().map(|event| event.name.as_str()), Some("result_ready"));
    stack.stop().await;
}

#[tokio::test]
async fn a_callback_must_be_signed_recent_and_about_a_known_submission() {
    let options = StackOptions::default().with("LOOPAI_CALLBACK_SECRET", loopai_callback::SECRET);
    let stack = Stack::with(options).await;
    let accepted = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    stack.wait_for_status(&accepted, "completed").await;

    let body_about = |id: &str| format!(r#"{{"submission_id":"{id}"}}"#);
    let known = body_about(&accepted.submission_id);
    let unknown = body_about("3f1f6b0e-6f0e-4f7b-9d53-0f1f6f3c2a11");
    let minute = Duration::from_secs(60);
    let code = async |body: &str, secret: &str, age| {
        let response = loopai_callback::send(&stack.client, body, secret, age).await;
        let status = response.status().as_u16();
        let body: serde_json::Value = response.json().await.expect("JSON");
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let rejection = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(code(&known, loopai_callback::SECRET, minute).await, rejection(202, ""));
    assert_eq!(code(&known, "guessed", minute).await, rejection(401, "invalid_signature"));
    assert_eq!(
        code(&known, loopai_callback::SECRET, 6 * minute).await,
        rejection(401, "invalid_signature")
    );
    assert_eq!(code(&unknown, loopai_callback::SECRET, minute).await, rejection(404, "not_found"));
    assert_eq!(code("{", loopai_callback::SECRET, minute).await, rejection(400, "invalid_json"));
    stack.stop().await;
}

#[tokio::test]
async fn excessive_callbacks_for_one_submission_are_rate_limited() {
    let options = StackOptions::default()
        .scenario("stuck")
        .with("LOOPAI_CALLBACK_SECRET", loopai_callback::SECRET)
        .with("DIAGNOSIS_POLL_SECONDS", "3600");
    let (stack, accepted) = Stack::with_submission(options).await;
    let other = stack.client.submit("ben@example.org", "", &[photos::cat()]).await;
    let send_callback = async |id: &str| {
        let body = format!(r#"{{"submission_id":"{id}"}}"#);
        loopai_callback::send(&stack.client, &body, loopai_callback::SECRET, Duration::ZERO).await
    };

    let rate_limited = eventually("a callback to be rate limited", || async {
        let response = send_callback(&accepted.submission_id).await;
        (response.status() != StatusCode::ACCEPTED).then_some(response)
    })
    .await;

    assert_eq!(rate_limited.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(rate_limited.headers().contains_key("retry-after"));
    assert_eq!(send_callback(&other.submission_id).await.status(), StatusCode::ACCEPTED);
    stack.stop().await;
}
