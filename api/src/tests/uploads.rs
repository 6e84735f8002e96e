//! Tests of slow and interrupted uploads, and of too many concurrent uploads.

use super::requests::post;
use super::{TestApi, refusal, send_to};
use crate::router::build_with_body_timeout;
use axum::body::{Body, Bytes};
use futures::StreamExt;
use std::time::Duration;

/// Longer than the test takes, but shorter than the upload timeout.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_interrupted_upload_is_rejected() {
    let parts = [Ok(Bytes::from("{\"email\":")), Err(std::io::Error::other("reset"))];
    let body = Body::from_stream(futures::stream::iter(parts));
    let response = TestApi::new().await.send(post("application/json", body)).await;
    assert_eq!(
        response.refusal_with_message(),
        refusal(400, "upload_incomplete", "The upload was interrupted. Please send it again.")
    );
}

#[tokio::test]
async fn a_slow_upload_times_out_and_frees_its_memory() {
    let api = TestApi::with(|settings| {
        settings.upload_timeout = Duration::from_millis(200);
        settings.max_files = 1;
        settings.max_file_bytes = 3;
        settings.upload_memory = 0;
    })
    .await;
    // The rest of an unneeded body is discarded for at most the same time.
    let router = build_with_body_timeout(api.state(), Duration::from_millis(500));
    let send =
        |body: Body| tower::ServiceExt::oneshot(router.clone(), post("application/json", body));
    // A body that reaches the maximum size but never ends.
    let all = Bytes::from(" ".repeat(1024 * 1024 + 4));
    let (dropped, is_dropped) = tokio::sync::oneshot::channel::<()>();
    let chunks = futures::stream::unfold((Some(all), dropped), |(rest, held)| async {
        let chunk = match rest {
            Some(chunk) => chunk,
            None => std::future::pending().await,
        };
        Some((Ok::<_, std::io::Error>(chunk), (None, held)))
    });

    let stuck = send(Body::from_stream(chunks)).await.expect("never fails");

    assert_eq!(stuck.status(), 408);
    assert_eq!(stuck.headers()["connection"], "close");
    assert!(is_dropped.await.is_err(), "the body was dropped");
    let next = send(Body::from(" ".repeat(512 * 1024))).await.expect("never fails");
    assert_eq!(next.status(), 400, "the memory was released");
}

#[tokio::test]
async fn a_stalled_upload_times_out() {
    for kind in ["application/json", "multipart/form-data; boundary=x", "text/json"] {
        let api = TestApi::new().await;
        let chunks = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from("{"))]);
        let body = Body::from_stream(chunks.chain(futures::stream::pending()));
        let router = build_with_body_timeout(api.state(), Duration::from_millis(1));
        let response = send_to(router, post(kind, body));
        let response = tokio::time::timeout(LONG, response).await.expect("a response in time");
        match kind {
            "text/json" => assert_eq!(response.refusal().0, 415),
            _ => assert_eq!(response.refusal(), (408, "upload_timeout".to_owned()), "{kind}"),
        }
    }
}

#[tokio::test]
async fn uploads_beyond_the_memory_limit_are_rejected() {
    let api = TestApi::with(|settings| {
        settings.max_files = 1;
        settings.max_file_bytes = 3;
        settings.upload_memory = 0;
    })
    .await;
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let (asking, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let chunks = futures::stream::unfold((receiver, asking), |(mut receiver, asking)| async {
        asking.send(()).expect("the test is still running");
        receiver.recv().await.map(|chunk| (Ok::<_, std::io::Error>(chunk), (receiver, asking)))
    });
    let router = crate::router::build(api.state());
    let first = tokio::spawn(tower::ServiceExt::oneshot(
        router.clone(),
        post("application/json", Body::from_stream(chunks)),
    ));
    // This body occupies all the memory, so too little is left for the next one.
    sender.send(Bytes::from(" ".repeat(1024 * 1024 + 4))).expect("the upload is still running");
    for _ in 0..2 {
        asked.recv().await.expect("the upload is read");
    }
    let half = " ".repeat(512 * 1024);
    let second = tower::ServiceExt::oneshot(router.clone(), post("application/json", half)).await;
    let second = second.expect("never fails");
    assert_eq!(second.status(), 503);
    assert_eq!(second.headers()["retry-after"], "5");
    drop(sender);
    assert_eq!(first.await.expect("no panic").expect("never fails").status(), 400);
    let third = tower::ServiceExt::oneshot(router, post("application/json", "{  }")).await;
    assert_eq!(third.expect("never fails").status(), 400, "the memory was released");
}
