//! Tests that refused submissions do not use up the submission quota but have their own quota.

use super::requests::{post, post_json, valid_submission};
use super::{TestApi, TestResponse, send_to};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use std::num::NonZeroU32;
use std::time::Duration;

/// Returns the limit per minute for a burst of `size`, because a burst is a third of the limit.
fn burst(size: u32) -> NonZeroU32 {
    NonZeroU32::new(3 * size).expect("not zero")
}

async fn limited(submit: u32, attempts: u32) -> (TestApi, Router) {
    let api = TestApi::with(|settings| {
        settings.rate_limits.submit = burst(submit);
        settings.rate_limits.submit_attempt = burst(attempts);
    })
    .await;
    let router = crate::router::build(api.state());
    (api, router)
}

fn refused_requests() -> Vec<(&'static str, Request<Body>)> {
    let mut with_key = post_json(&valid_submission());
    with_key.headers_mut().insert("idempotency-key", "a b".parse().expect("a value"));
    let mut with_token = post_json(&valid_submission());
    with_token.headers_mut().insert("authorization", "Bearer x".parse().expect("a value"));
    vec![
        ("invalid_submission", post_json(&json!({}))),
        ("invalid_json", post("application/json", "{")),
        ("invalid_multipart", post("multipart/form-data", "")),
        ("unsupported_media_type", post("text/plain", "")),
        ("invalid_idempotency_key", with_key),
        ("token_invalid", with_token),
        // The database does not respond.
        ("unavailable", post_json(&valid_submission())),
    ]
}

fn code(response: &TestResponse) -> String {
    response.refusal().1
}

#[tokio::test]
async fn a_refused_submission_does_not_use_up_the_quota() {
    let (_api, router) = limited(1, 100).await;
    for (expected, request) in refused_requests() {
        let response = send_to(router.clone(), request).await;
        assert_eq!(code(&response), expected);
        assert_eq!(response.header("ratelimit-policy"), "\"submit\";q=1;w=20", "{expected}");
        assert_eq!(response.header("ratelimit"), "\"submit\";r=1;t=0", "{expected}");
    }
}

#[tokio::test]
async fn refused_submissions_have_their_own_limit() {
    let (_api, router) = limited(1, 3).await;
    for _ in 0..3 {
        let response = send_to(router.clone(), post_json(&json!({}))).await;
        assert_eq!(code(&response), "invalid_submission");
    }
    let response = send_to(router.clone(), post_json(&json!({}))).await;
    assert_eq!(response.refusal(), (429, "too_many_requests".to_owned()));
    assert_eq!(response.header("ratelimit-policy"), "\"submit-attempt\";q=3;w=20");
    assert_eq!(response.header("ratelimit"), "\"submit-attempt\";r=0;t=20");
    let body = response.json();
    assert_eq!(body["errors"], json!([body["message"]]), "the front end shows only `errors`");
}

#[tokio::test]
async fn an_upload_counts_towards_the_quota_until_the_client_disconnects() {
    let (_api, router) = limited(1, 1000).await;
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let chunks = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk: Result<Vec<u8>, std::io::Error>| (chunk, receiver))
    });
    let request = post("application/json", Body::from_stream(chunks));
    let upload = tokio::spawn(send_to(router.clone(), request));
    let next = async || code(&send_to(router.clone(), post_json(&json!({}))).await);
    until(async || next().await == "too_many_requests").await;

    upload.abort();
    sender.send(Err(std::io::Error::other("reset"))).expect("the upload is still read");

    until(async || next().await == "invalid_submission").await;
}

async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("in time");
}
