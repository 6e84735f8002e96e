//! Tests of event streams and cancellations without a database.

use super::TestApi;
use crate::router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use diagflow_store::{ApiKeyId, SessionId, SubmissionId, UserId};
use futures::StreamExt;
use std::num::NonZeroU32;
use std::time::Duration;
use tower::ServiceExt;

const LIMIT: Duration = Duration::from_secs(20);

async fn open(api: &TestApi, submission: SubmissionId, (name, value): (&str, &str)) -> Response {
    let path = format!("/api/user/events/{submission}");
    let request = Request::get(path).header(name, value).body(Body::empty()).expect("a request");
    router(api.app.clone()).oneshot(request).await.expect("never fails")
}

#[tokio::test]
async fn a_stream_sends_heartbeats_while_the_database_is_unavailable() {
    let heartbeat = Duration::from_millis(50);
    let api = TestApi::with(|settings| settings.events_heartbeat = heartbeat).await;
    let id = SubmissionId::new();
    let token = api.state().keys.submission_tokens.token(id);
    let bearer = ("authorization", &*format!("Bearer {token}"));
    let cookie = ("cookie", &*format!("__Secure-diagflow_access={token}"));
    for credentials in [bearer, cookie] {
        let response = open(&api, id, credentials).await;

        assert_eq!(response.status(), 200, "an `EventSource` never reconnects after a 503");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let mut chunks = response.into_body().into_data_stream();
        let mut text = String::new();
        while text.lines().count() < 3 {
            let chunk = tokio::time::timeout(LIMIT, chunks.next()).await.expect("a heartbeat");
            let chunk = chunk.expect("an open stream").expect("bytes");
            text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
        // Some clients would deliver an empty line as an empty message.
        assert_eq!(text, "retry: 2000\n:\n:\n");
    }
}

/// The permission is checked once the database is available again.
#[tokio::test]
async fn a_stream_opened_by_an_account_sends_heartbeats_while_the_database_is_unavailable() {
    let heartbeat = Duration::from_millis(50);
    let api = TestApi::with(|settings| settings.events_heartbeat = heartbeat).await;
    let token = api.state().keys.access_tokens.issue(UserId::new(), SessionId::new());
    let own = format!("/api/user/events/{}", SubmissionId::new());
    let open = async |path: &str, (name, value): (&str, &str)| {
        let request = Request::get(path).header(name, value).body(Body::empty());
        router(api.app.clone()).oneshot(request.expect("a request")).await.expect("never fails")
    };
    for path in [own.as_str(), "/api/admin/events"] {
        let bearer = ("authorization", &*format!("Bearer {token}"));
        let cookie = ("cookie", &*format!("__Host-diagflow_session={token}"));
        for credentials in [bearer, cookie] {
            let response = open(path, credentials).await;
            assert_eq!(response.status(), 200, "{path}");
            let mut chunks = response.into_body().into_data_stream();
            for _ in 0..3 {
                let chunk = tokio::time::timeout(LIMIT, chunks.next()).await.expect("a heartbeat");
                assert_eq!(chunk.expect("an open stream").expect("bytes"), ":\n", "{path}");
            }
        }
        // These credentials cannot be verified without the database.
        let forged = format!("Bearer {token}x");
        assert_ne!(open(path, ("authorization", &forged)).await.status(), 200, "{path}");
        let key = format!("Bearer dfk_{}_secret", ApiKeyId::new());
        assert_eq!(open(path, ("authorization", &key)).await.status(), 503, "{path}");
    }
}

#[tokio::test]
async fn a_rate_limited_event_source_reconnects_later() {
    let api = TestApi::with(|settings| settings.rate_limits.read = NonZeroU32::MIN).await;
    let id = SubmissionId::new();
    let token = format!("Bearer {}", api.state().keys.submission_tokens.token(id));
    let router = router(api.app.clone());
    let open = async |accept: &str| {
        let request = Request::get(format!("/api/user/events/{id}")).header("accept", accept);
        let request = request.header("authorization", &token).body(Body::empty());
        router.clone().oneshot(request.expect("a request")).await.expect("never fails")
    };
    let event_source = "text/event-stream";
    assert_eq!(open(event_source).await.status(), 200);

    let rejected = open(event_source).await;

    assert_eq!(rejected.status(), 200, "an `EventSource` never reconnects after a 429");
    assert_eq!(rejected.headers()["content-type"], event_source);
    assert_eq!(rejected.headers()["ratelimit"], "\"read\";r=0;t=60");
    let body = axum::body::to_bytes(rejected.into_body(), 1000);
    let body = tokio::time::timeout(LIMIT, body).await.expect("the end of the stream");
    assert_eq!(body.expect("a body"), "retry: 60000\n: too many requests\n");
    assert_eq!(open("*/*").await.status(), 429, "other clients");
}

#[tokio::test]
async fn a_client_can_open_a_limited_number_of_streams() {
    let api = TestApi::with(|settings| settings.open_limits.streams_per_client = 1).await;
    let id = SubmissionId::new();
    let token = format!("Bearer {}", api.state().keys.submission_tokens.token(id));
    let router = router(api.app.clone());
    let open = async |accept: &str| {
        let path = format!("/api/user/events/{id}");
        let request = Request::get(path).header("authorization", &token).header("accept", accept);
        let request = request.body(Body::empty()).expect("a request");
        router.clone().oneshot(request).await.expect("never fails")
    };
    let event_source = "text/event-stream";
    let first = open(event_source).await;

    let refused = open(event_source).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (200, &"30".parse().expect("a value"))
    );
    let body =
        axum::body::to_bytes(refused.into_body(), 1000).await.expect("the end of the stream");
    assert_eq!(body, "retry: 30000\n: too many requests\n");
    assert_eq!(open("*/*").await.status(), 429, "other clients");

    drop(first);
    assert_eq!(open("*/*").await.status(), 200, "the stream is closed");
}

#[tokio::test]
async fn cancellations_have_the_same_limit_as_submissions() {
    let one = NonZeroU32::MIN;
    let api = TestApi::with(|settings| settings.rate_limits.submit = one).await;
    let id = SubmissionId::new();
    let token = format!("Bearer {}", api.state().keys.submission_tokens.token(id));
    let router = router(api.app.clone());
    let cancel = async || {
        let path = format!("/api/user/cancel/{id}");
        let request = Request::post(path).header("authorization", &token).body(Body::empty());
        let response = router.clone().oneshot(request.expect("a request")).await;
        response.expect("never fails").status().as_u16()
    };
    assert_eq!(cancel().await, 503, "there is no database");
    assert_eq!(cancel().await, 429);
}
