//! The end of storing a submission, where it takes long or its answer is lost: nobody is told that it failed
//! while it may have succeeded.

use diagflow_tests::answers::refusal;
use diagflow_tests::client::accepted;
use diagflow_tests::{ApiClient, Stack, StackOptions, eventually, photos};
use diesel_async::SimpleAsyncConnection;
use serde_json::Value;

fn body() -> Value {
    ApiClient::body("ana@example.org", "", &[photos::retina()])
}

#[tokio::test]
async fn what_takes_long_to_store_goes_on_with_its_memory_and_the_repeat_finds_it() {
    // One image at a time: a second submission has no room while the first holds its bytes.
    let options = StackOptions::default()
        .with("REQUEST_TIMEOUT_SECONDS", "1")
        .with("MAX_FILES", "1")
        .with("MAX_FILE_BYTES", "300000")
        .with("SUBMIT_MEMORY_BYTES", "1");
    let mut stack = Stack::without_processes(options).await;
    stack.start_api().await;
    let mut lock = stack.database.connect().await;
    lock.batch_execute("LOCK TABLES submissions WRITE").await.expect("locks");

    // Nearly the largest body that is taken.
    let mut body = body();
    body["padding"] = "x".repeat(1_000_000).into();
    let first = stack.client.post(&body, Some("key-1")).await.expect("an answer");
    assert_eq!(refusal(first).await, (503, "outcome_unknown".to_owned()));
    let second = stack.client.post(&body, Some("key-2")).await.expect("an answer");
    assert_eq!(refusal(second).await, (503, "busy".to_owned()), "its bytes are still there");
    lock.batch_execute("UNLOCK TABLES").await.expect("unlocks");

    eventually("the first to be stored", || async {
        (stack.database.rows("submissions").await == 1).then_some(())
    })
    .await;
    let repeat = stack.client.post(&body, Some("key-1")).await.expect("an answer");
    assert_eq!(repeat.headers()["idempotency-replayed"], "true");
    let stored = stack.database.texts("SELECT id FROM submissions").await;
    assert_eq!(stored, [accepted(repeat).await.submission_id]);
    stack.stop().await;
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_is_not_told_as_a_failure() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    let (line, url) = stack.database.by_proxy().await;
    stack.set("DATABASE_URL", url);
    stack.start_api().await;
    line.lose_answer_to("COMMIT", "INSERT INTO `submissions`");

    let answer = stack.client.post(&body(), None).await.expect("an answer");

    assert_eq!(refusal(answer).await, (503, "outcome_unknown".to_owned()));
    assert_eq!(stack.database.rows("submissions").await, 1, "it was stored");
    stack.stop().await;
}
