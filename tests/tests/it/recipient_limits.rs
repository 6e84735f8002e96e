//! Tests of the limits on submissions per e-mail address, which apply across all processes.

use diagflow_tests::client::expect_accepted;
use diagflow_tests::{ApiClient, Stack, StackOptions, photos};
use futures::future::join_all;
use reqwest::{Response, StatusCode};
use serde_json::Value;

async fn submit(client: &ApiClient, email: &str, key: Option<&str>) -> Response {
    let body = ApiClient::submission_body(email, "itches", &[photos::retina()]);
    client.post(&body, key).await.expect("a response")
}

/// Returns the error code of a rejected submission.
async fn code(response: Response) -> String {
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["errors"][0], body["message"], "{body}");
    body["error"]["code"].as_str().expect("a code").to_owned()
}

#[tokio::test]
async fn open_submissions_for_one_address_are_limited_across_processes() {
    let options = StackOptions::default().with("RECIPIENT_MAX_OPEN", "3");
    let stack = Stack::api_only(options).await;
    let (replica, other) = stack.start_replica().await;
    let client = ApiClient::round_robin(&[stack.client.clone(), other]);

    let responses = join_all((0..10).map(|_| submit(&client, "ana@example.org", None))).await;

    let (accepted, rejected): (Vec<_>, Vec<_>) =
        responses.into_iter().partition(|response| response.status() == StatusCode::ACCEPTED);
    assert_eq!(accepted.len(), 3);
    for response in rejected {
        assert!(
            !response.headers().contains_key("retry-after"),
            "`Retry-After` must be absent because nobody knows when a submission will end"
        );
        assert_eq!(code(response).await, "too_many_open_submissions");
    }
    assert_eq!(stack.database.count_rows("submissions").await, 3);
    expect_accepted(submit(&client, "ben@example.org", None).await).await;
    replica.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn submissions_for_one_address_within_a_day_are_limited() {
    let options = StackOptions::default().with("RECIPIENT_MAX_PER_DAY", "2");
    let stack = Stack::api_only(options).await;
    let client = &stack.client;
    expect_accepted(submit(client, "ana@example.org", Some("key-1")).await).await;
    expect_accepted(submit(client, "Ana@Example.org", Some("key-2")).await).await;

    let rejected = submit(client, "ana@example.org", Some("key-3")).await;

    let seconds: u64 =
        rejected.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!((86_300..=86_400).contains(&seconds), "{seconds}");
    assert_eq!(code(rejected).await, "daily_limit_reached");
    let replayed = submit(client, "ana@example.org", Some("key-1")).await;
    assert_eq!(replayed.headers()["idempotency-replayed"], "true");
    expect_accepted(replayed).await;

    stack.database.execute("UPDATE submissions SET created_at = NOW(6) - INTERVAL 25 HOUR").await;
    expect_accepted(submit(client, "ana@example.org", Some("key-3")).await).await;
    stack.stop().await;
}

#[tokio::test]
async fn the_default_limits_are_three_open_submissions_and_ten_per_day() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.unset("RECIPIENT_MAX_OPEN");
    stack.unset("RECIPIENT_MAX_PER_DAY");
    stack.start_api().await;

    let mut accepted = 0;
    let refused = loop {
        let response = submit(&stack.client, "ana@example.org", None).await;
        if response.status() == StatusCode::ACCEPTED {
            accepted += 1;
            continue;
        }
        match code(response).await.as_str() {
            "too_many_open_submissions" => {
                assert_eq!(accepted % 3, 0, "{accepted} submissions were accepted");
                stack.database.execute("UPDATE submissions SET status = 'failed'").await;
            }
            other => break other.to_owned(),
        }
    };

    assert_eq!((accepted, refused.as_str()), (10, "daily_limit_reached"));
    stack.stop().await;
}

#[tokio::test]
async fn a_submission_over_the_limit_stores_no_images_and_does_not_use_up_the_quota() {
    // A limit of six per minute allows a burst of two submissions.
    let options = StackOptions::default()
        .with("RECIPIENT_MAX_OPEN", "1")
        .with("RATE_LIMIT_SUBMIT_PER_MINUTE", "6");
    let stack = Stack::api_only(options).await;
    let client = &stack.client;
    expect_accepted(submit(client, "ana@example.org", None).await).await;
    let stored = stack.database.count_rows("blob_reservations").await;
    let body = ApiClient::submission_body("ana@example.org", "", &[photos::cat()]);

    for attempt in 0..3 {
        let refused =
            client.post(&body, Some(&format!("key-{attempt}"))).await.expect("a response");
        let usage = refused.headers()["ratelimit"].to_str().expect("text").to_owned();
        assert_eq!(code(refused).await, "too_many_open_submissions");
        assert!(!usage.contains(";r=0;"), "the rejected submission was counted: {usage}");
    }

    assert_eq!(stack.database.count_rows("blob_reservations").await, stored);
    expect_accepted(submit(client, "ben@example.org", None).await).await;
    stack.stop().await;
}
