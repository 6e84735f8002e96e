//! What LoopAI does on its own: it fetches images by links, and calls back.

use diagflow_store::LinkKey;
use diagflow_tests::cases::Case;
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, StackOptions, call_back, eventually, photos};
use futures::StreamExt;
use reqwest::StatusCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[tokio::test]
async fn images_by_links_arrive_as_they_were_sent() {
    let stack = Stack::with(StackOptions::default().with("LOOPAI_IMAGES", "url")).await;

    let accepted =
        stack.client.submit("ana@example.org", "", &[photos::retina(), photos::cat()]).await;
    stack.until(&accepted, "completed").await;

    let executions = stack.loopai.executions();
    assert_eq!(executions[0].images.len(), 2);
    for image in &executions[0].images {
        assert_eq!(image.sha256_matches, Some(true), "{image:?}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_link_opens_its_own_file_until_it_is_over() {
    let secret = "a secret of the tests";
    let stack = Stack::with(StackOptions::default().with("SECRET_KEY", secret)).await;
    let photos = [photos::retina(), photos::cat()];
    let accepted = stack.client.submit("ana@example.org", "", &photos).await;
    let files = stack.store.files(id_of(&accepted)).await.expect("files");
    let key = LinkKey::new(secret);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();

    let good = stack.client.get(&key.path(files[0].id, now + 60)).await;
    assert_eq!(good.headers()["content-type"], "image/jpeg");
    assert_eq!(good.headers()["cache-control"], "private, no-store");
    assert_eq!(good.bytes().await.expect("bytes"), photos[0].bytes);
    let for_another =
        key.path(files[0].id, now + 60).replace(&files[0].id.to_string(), &files[1].id.to_string());
    let unsigned = format!("/api/files/{}", files[0].id);
    for wrong in [key.path(files[0].id, now - 1), for_another, unsigned] {
        let answer = stack.client.get(&wrong).await;
        assert_eq!(answer.status().as_u16(), 404, "{wrong}");
        let body: serde_json::Value = answer.json().await.expect("JSON");
        assert_eq!(body["error"]["code"], "not_found");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_call_back_ends_the_waiting() {
    let (stack, accepted) = Case::WokenByCallBack.play().await;
    let events: Vec<_> = stack.client.events(&accepted, None).await.collect().await;
    assert_eq!(events.last().map(|event| event.name.as_str()), Some("result_ready"));
    stack.stop().await;
}

#[tokio::test]
async fn a_call_back_must_be_signed_recent_and_about_something() {
    let options = StackOptions::default().with("LOOPAI_CALLBACK_SECRET", call_back::SECRET);
    let stack = Stack::with(options).await;
    let accepted = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    stack.until(&accepted, "completed").await;

    let about = |id: &str| format!(r#"{{"submission_id":"{id}"}}"#);
    let known = about(&accepted.submission_id);
    let unknown = about("3f1f6b0e-6f0e-4f7b-9d53-0f1f6f3c2a11");
    let minute = Duration::from_secs(60);
    let code = async |body: &str, secret: &str, age| {
        let answer = call_back::send(&stack.client, body, secret, age).await;
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().await.expect("JSON");
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let refusal = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(code(&known, call_back::SECRET, minute).await, refusal(202, ""));
    assert_eq!(code(&known, "guessed", minute).await, refusal(401, "invalid_signature"));
    assert_eq!(
        code(&known, call_back::SECRET, 6 * minute).await,
        refusal(401, "invalid_signature")
    );
    assert_eq!(code(&unknown, call_back::SECRET, minute).await, refusal(404, "not_found"));
    assert_eq!(code("{", call_back::SECRET, minute).await, refusal(400, "invalid_json"));
    stack.stop().await;
}

#[tokio::test]
async fn call_backs_without_end_for_one_submission_are_put_off() {
    let options = StackOptions::default()
        .scenario("stuck")
        .with("LOOPAI_CALLBACK_SECRET", call_back::SECRET)
        .with("DIAGNOSIS_POLL_SECONDS", "3600");
    let (stack, accepted) = Stack::with_submission(options).await;
    let other = stack.client.submit("ben@example.org", "", &[photos::cat()]).await;
    let call_back = async |id: &str| {
        let body = format!(r#"{{"submission_id":"{id}"}}"#);
        call_back::send(&stack.client, &body, call_back::SECRET, Duration::ZERO).await
    };

    let put_off = eventually("a call-back to be put off", || async {
        let answer = call_back(&accepted.submission_id).await;
        (answer.status() != StatusCode::ACCEPTED).then_some(answer)
    })
    .await;

    assert_eq!(put_off.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(put_off.headers().contains_key("retry-after"));
    assert_eq!(call_back(&other.submission_id).await.status(), StatusCode::ACCEPTED);
    stack.stop().await;
}
