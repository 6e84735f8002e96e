//! Tests that a client can safely repeat a request with the same `Idempotency-Key`, whatever the outcome of the first
//! request.

use diagflow_store::{Role, Sha256};
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::stack::id_of;
use diagflow_tests::{ApiClient, Stack, StackOptions, Staff, eventually, history, photos};
use diesel_async::SimpleAsyncConnection;
use futures::future::join_all;
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::time::timeout;

fn body(comments: &str) -> Value {
    ApiClient::submission_body("ana@example.org", comments, &[photos::retina()])
}

async fn post(client: &ApiClient, body: &Value, key: &str) -> Response {
    client.post(body, Some(key)).await.expect("a response")
}

async fn read(response: Response) -> (u16, String, Value) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned(), body)
}

/// Asserts that a response was rejected because the first request is still in progress.
async fn assert_in_use(response: Response) {
    assert_eq!(response.headers()["retry-after"], "1");
    let (status, code, _) = read(response).await;
    assert_eq!((status, code.as_str()), (409, "idempotency_key_in_use"));
}

#[tokio::test]
async fn a_request_with_the_same_key_and_body_returns_the_first_response_without_side_effects() {
    let stack = Stack::start().await;
    let first = post(&stack.client, &body("hello"), "key-1").await;
    assert!(!first.headers().contains_key("idempotency-replayed"));
    let (status, _, first) = read(first).await;
    assert_eq!(status, 202);

    let repeat = post(&stack.client, &body("hello"), "key-1").await;
    assert_eq!(repeat.headers()["idempotency-replayed"], "true");
    assert_eq!(read(repeat).await, (202, String::new(), first.clone()));

    let accepted = serde_json::from_value(first.clone()).expect("a receipt");
    stack.wait_for_status(&accepted, "completed").await;
    history::wait_until_closed(&stack, &accepted).await;
    let late = post(&stack.client, &body("hello"), "key-1").await;
    assert_eq!(
        read(late).await,
        (202, String::new(), first),
        "a repeated request must return the first response, not the current state"
    );
    assert_eq!(stack.database.count_rows("submissions").await, 1);
    assert_eq!(stack.loopai.executions().len(), 1);
    assert_eq!(stack.mail.mails().len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_request_with_the_same_key_and_another_body_is_rejected() {
    let stack = Stack::api_only(StackOptions::default()).await;
    assert_eq!(post(&stack.client, &body("hello"), "key-1").await.status(), 202);

    let mut other_email = body("hello");
    other_email["email"] = "eve@example.org".into();
    let other_image = ApiClient::submission_body("ana@example.org", "hello", &[photos::cat()]);
    for other in [body("hello!"), other_email, other_image] {
        let (status, code, _) = read(post(&stack.client, &other, "key-1").await).await;
        assert_eq!((status, code.as_str()), (422, "idempotency_key_reused"));
    }

    assert_eq!(stack.database.count_rows("submissions").await, 1);
    assert_eq!(post(&stack.client, &body("hello!"), "key-2").await.status(), 202);
    stack.stop().await;
}

#[tokio::test]
async fn a_key_belongs_to_the_account_that_sent_it_or_to_anonymous_clients() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let ana = Staff::with_role(&stack, Role::Operator).await;
    let ben = Staff::with_role(&stack, Role::Operator).await;
    let post_as = async |staff: &Staff, comments: &str| {
        let request = staff.request(Method::POST, "/api/user/submit").json(&body(comments));
        request.header("Idempotency-Key", "key-1").send().await.expect("a response")
    };
    let (_, _, anonymous) = read(post(&stack.client, &body("hello"), "key-1").await).await;

    let (status, _, of_ana) = read(post_as(&ana, "hello").await).await;
    assert_eq!(status, 202, "{of_ana}");
    assert_ne!(of_ana["submission_id"], anonymous["submission_id"]);
    // Sending another body with the same key does not reveal whether somebody else has used the key.
    let (status, _, of_ben) = read(post_as(&ben, "another").await).await;
    assert_eq!(status, 202, "{of_ben}");

    let repeat = post_as(&ana.sign_in_again(&stack).await, "hello").await;
    assert_eq!(repeat.headers()["idempotency-replayed"], "true");
    assert_eq!(read(repeat).await, (202, String::new(), of_ana));
    let (status, code, _) = read(post_as(&ana, "another").await).await;
    assert_eq!((status, code.as_str()), (422, "idempotency_key_reused"));
    let repeat = post(&stack.client, &body("hello"), "key-1").await;
    assert_eq!(read(repeat).await, (202, String::new(), anonymous));
    assert_eq!(stack.database.count_rows("submissions").await, 3);
    stack.stop().await;
}

#[tokio::test]
async fn identical_submissions_without_a_key_are_stored_separately() {
    let stack = Stack::api_only(StackOptions::default()).await;

    let first = stack.client.submit("ana@example.org", "hello", &[photos::retina()]).await;
    let second = stack.client.submit("ana@example.org", "hello", &[photos::retina()]).await;

    assert_ne!(first.submission_id, second.submission_id);
    assert_ne!(first.access_token, second.access_token);
    assert_eq!(stack.database.count_rows("submissions").await, 2);
    stack.stop().await;
}

#[tokio::test]
async fn concurrent_repeats_on_two_replicas_store_one_submission() {
    const AT_ONCE: usize = 10;
    let stack = Stack::api_only(StackOptions::default()).await;
    let (replica, other) = stack.start_replica().await;
    let body = body("hello");

    let clients = [&stack.client, &other].into_iter().cycle().take(AT_ONCE);
    let responses = join_all(clients.map(|client| post(client, &body, "key-1"))).await;

    let mut ids = Vec::new();
    for response in responses {
        if response.status() == 409 {
            assert_in_use(response).await;
        } else {
            let (status, _, receipt) = read(response).await;
            assert_eq!(status, 202);
            ids.push(receipt["submission_id"].clone());
        }
    }
    let (status, _, receipt) = read(post(&stack.client, &body, "key-1").await).await;
    assert_eq!(status, 202);
    assert!(!ids.is_empty() && ids.iter().all(|id| *id == receipt["submission_id"]), "{ids:?}");
    assert_eq!(stack.database.count_rows("submissions").await, 1);
    replica.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn a_repeat_during_the_first_request_is_rejected_with_retry_after() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let body = body("hello");
    // A table lock blocks the first request.
    let mut lock = stack.database.connect().await;
    lock.batch_execute("LOCK TABLES submissions WRITE").await.expect("locked");
    let first = tokio::spawn({
        let (client, body) = (stack.client.clone(), body.clone());
        async move { post(&client, &body, "key-1").await }
    });
    wait_for_claim(&stack).await;

    let repeat = timeout(LIMIT, post(&stack.client, &body, "key-1")).await;
    assert_in_use(repeat.expect("a response without waiting for the first request")).await;

    lock.batch_execute("UNLOCK TABLES").await.expect("unlocked");
    let (status, _, first) = read(first.await.expect("no panic")).await;
    assert_eq!(status, 202);
    assert_eq!(read(post(&stack.client, &body, "key-1").await).await.2, first);
    stack.stop().await;
}

/// Waits until a request has claimed its key.
async fn wait_for_claim(stack: &Stack) {
    eventually("the key to be claimed", || async {
        (stack.database.count_rows("idempotency_keys").await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_repeat_succeeds_after_the_api_was_killed() {
    let mut stack =
        Stack::api_only(StackOptions::default().with("IDEMPOTENCY_LEASE_SECONDS", "2")).await;
    let body = body("hello");
    let mut lock = stack.database.connect().await;
    lock.batch_execute("LOCK TABLES submissions WRITE").await.expect("locked");
    let first = tokio::spawn({
        let (client, body) = (stack.client.clone(), body.clone());
        async move { client.post(&body, Some("key-1")).await }
    });
    wait_for_claim(&stack).await;
    stack.api.take().expect("running").kill();
    assert!(first.await.expect("no panic").is_err(), "the killed API sent a response");
    lock.batch_execute("UNLOCK TABLES").await.expect("unlocked");
    assert_eq!(stack.database.count_rows("submissions").await, 0, "partial data remains");
    stack.start_api().await;

    let receipt = eventually("the claim of the killed request to expire", || async {
        let response = post(&stack.client, &body, "key-1").await;
        if response.status() == 409 {
            assert_in_use(response).await;
            return None;
        }
        Some(read(response).await)
    })
    .await;

    assert_eq!(receipt.0, 202, "{receipt:?}");
    assert_eq!(read(post(&stack.client, &body, "key-1").await).await, receipt);
    assert_eq!(stack.database.count_rows("submissions").await, 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_failure_is_not_replayed() {
    let stack = Stack::api_only(StackOptions::default()).await;
    stack.database.execute("RENAME TABLE files TO files_renamed").await;
    let (status, code, _) = read(post(&stack.client, &body("hello"), "key-1").await).await;
    assert_eq!((status, code.as_str()), (503, "unavailable"));
    assert_eq!(stack.database.count_rows("submissions").await, 0);
    stack.database.execute("RENAME TABLE files_renamed TO files").await;

    // The repeated request is accepted immediately because the failed request has released its claim.
    let (status, _, _) = read(post(&stack.client, &body("hello"), "key-1").await).await;

    assert_eq!(status, 202);
    assert_eq!(stack.database.count_rows("submissions").await, 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_key_is_stored_as_a_digest_and_can_be_reused_after_one_day() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let accepted =
        diagflow_tests::client::expect_accepted(post(&stack.client, &body(""), "key-1").await);
    let submission = id_of(&accepted.await);

    let lifetime = "SELECT TIMESTAMPDIFF(SECOND, created_at, expires_at) FROM idempotency_keys \
         JOIN submissions ON submissions.id = submission_id";
    assert!(stack.database.number(lifetime).await >= 24 * 60 * 60);
    let by_digest = format!(
        "SELECT COUNT(*) FROM idempotency_keys WHERE key_hash = '{}' AND submission_id = '{submission}'",
        Sha256::of(b"key-1")
    );
    assert_eq!(stack.database.number(&by_digest).await, 1);

    stack.database.execute("UPDATE idempotency_keys SET expires_at = NOW(6)").await;
    assert_eq!(post(&stack.client, &body("other"), "key-1").await.status(), 202);
    assert_eq!(stack.database.count_rows("submissions").await, 2);
    stack.stop().await;
}

#[tokio::test]
async fn a_repeat_succeeds_after_the_consent_text_has_changed() {
    let mut stack =
        Stack::api_only(StackOptions::default().with("CONSENT_VERSION", "2026-11")).await;
    let mut body = body("hello");
    body["consent_version"] = "2026-11".into();
    let first = read(post(&stack.client, &body, "key-1").await).await;
    assert_eq!(first.0, 202);
    stack.api.take().expect("running").stop().await;
    stack.set("CONSENT_VERSION", "2027-01");
    stack.start_api().await;

    assert_eq!(read(post(&stack.client, &body, "key-1").await).await, first);
    let (status, code, _) = read(post(&stack.client, &body, "key-2").await).await;
    assert_eq!((status, code.as_str()), (400, "invalid_submission"));
    body["consent_version"] = "2027-01".into();
    let agreed = read(post(&stack.client, &body, "key-2").await).await;
    assert_eq!(agreed.0, 202, "the rejected request used up its key: {agreed:?}");
    assert_eq!(stack.database.count_rows("submissions").await, 2);
    stack.stop().await;
}
