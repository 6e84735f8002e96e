//! Event streams and cancellations without a database.

use super::TestApi;
use crate::router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use diagflow_store::SubmissionId;
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
async fn a_stream_that_is_opened_without_a_database_waits_with_heartbeats() {
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
        // An empty line would be an empty message.
        assert_eq!(text, "retry: 2000\n:\n:\n");
    }
}

#[tokio::test]
async fn cancellations_are_limited_like_submissions() {
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
