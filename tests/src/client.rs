//! A client for the public API.

use crate::eventually::{LIMIT, eventually};
use crate::photos::Photo;
use crate::sse::{SseEvent, SseStream};
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::multipart::{Form, Part};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AcceptedSubmission {
    pub submission_id: String,
    pub access_token: String,
    pub status_url: String,
    pub events_url: String,
}

/// A client for one or more API processes, which it uses in rotation.
#[derive(Debug, Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    bases: Vec<String>,
    next: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
}

impl ApiClient {
    pub fn new(base: String) -> ApiClient {
        // The error is ignored because another test may already have installed a crypto provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self::with_http(reqwest::Client::new(), vec![base])
    }

    fn with_http(http: reqwest::Client, bases: Vec<String>) -> ApiClient {
        ApiClient { http, bases, next: Arc::default(), streams: Arc::default() }
    }

    /// Creates a client that sends each request to the next API process, like a load balancer. Clones share the
    /// rotation.
    pub fn round_robin(apis: &[ApiClient]) -> ApiClient {
        let bases = apis.iter().flat_map(|api| api.bases.clone()).collect();
        Self::with_http(reqwest::Client::new(), bases)
    }

    /// Creates a client that uses a different local address, so the API treats it as a different client.
    pub fn with_local_address(base: String, address: IpAddr) -> ApiClient {
        let http =
            reqwest::Client::builder().local_address(address).build().expect("an HTTP client");
        Self::with_http(http, vec![base])
    }

    /// Creates a client that aborts a request if no data arrives for the duration of `silence`.
    pub fn with_read_timeout(base: String, silence: Duration) -> ApiClient {
        let http =
            reqwest::Client::builder().read_timeout(silence).build().expect("an HTTP client");
        Self::with_http(http, vec![base])
    }

    pub fn url(&self, path: &str) -> String {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}{path}", self.bases[next % self.bases.len()])
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.expect("a response")
    }

    /// Waits until `/ready` reports `problem` as the reason why runs cannot be started.
    pub async fn wait_for_start_problem(&self, problem: impl Into<Value>) {
        let problem = problem.into();
        eventually(format!("/ready to report {problem}"), || async {
            let ready: Value = self.get("/ready").await.json().await.ok()?;
            (ready["start_problem"] == problem).then_some(())
        })
        .await;
    }

    /// Returns a request body in the form sent by the existing front end.
    pub fn submission_body(email: &str, comments: &str, photos: &[Photo]) -> Value {
        let images: Vec<Value> = photos.iter().map(Photo::json).collect();
        json!({"email": email, "comments": comments, "consent": true, "images": images})
    }

    pub async fn post(&self, body: &Value, key: Option<&str>) -> reqwest::Result<Response> {
        let mut call = self.http.post(self.url("/api/user/submit")).json(body);
        if let Some(key) = key {
            call = call.header("Idempotency-Key", key);
        }
        call.send().await
    }

    pub async fn submit(
        &self,
        email: &str,
        comments: &str,
        photos: &[Photo],
    ) -> AcceptedSubmission {
        let body = Self::submission_body(email, comments, photos);
        expect_accepted(self.post(&body, None).await.expect("a response")).await
    }

    pub async fn submit_multipart(
        &self,
        email: &str,
        comments: &str,
        photos: &[Photo],
        key: Option<&str>,
    ) -> Response {
        let mut form = Form::new()
            .text("email", email.to_owned())
            .text("comments", comments.to_owned())
            .text("consent", "true");
        for photo in photos {
            let part = Part::bytes(photo.bytes.clone()).file_name(photo.name);
            form = form.part("images", part.mime_str(photo.media_type).expect("a media type"));
        }
        let mut call = self.http.post(self.url("/api/user/submit")).multipart(form);
        if let Some(key) = key {
            call = call.header("Idempotency-Key", key);
        }
        call.send().await.expect("a response")
    }

    pub async fn status(&self, submission: &AcceptedSubmission) -> reqwest::Result<Value> {
        self.get_status(submission).await?.json().await
    }

    pub async fn get_status(&self, submission: &AcceptedSubmission) -> reqwest::Result<Response> {
        let path = format!("/api/user/status/{}", submission.submission_id);
        let call = self.http.get(self.url(&path)).bearer_auth(&submission.access_token);
        call.send().await
    }

    pub async fn open_events(
        &self,
        submission: &AcceptedSubmission,
        after: Option<&str>,
    ) -> reqwest::Result<Response> {
        let path = format!("/api/user/events/{}", submission.submission_id);
        let mut call = self.http.get(self.url(&path)).bearer_auth(&submission.access_token);
        if let Some(after) = after {
            call = call.header("Last-Event-ID", after);
        }
        let response = call.send().await?;
        if response.status() == StatusCode::OK {
            self.streams.fetch_add(1, Ordering::Relaxed);
        }
        Ok(response)
    }

    /// Returns how many event streams this client and its clones have opened.
    pub fn streams_opened(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Returns the events that follow event number `after`. The stream ends when the response ends or the connection is
    /// lost, or after [`LIMIT`].
    pub async fn events(
        &self,
        submission: &AcceptedSubmission,
        after: Option<i64>,
    ) -> BoxStream<'static, SseEvent> {
        let after = after.map(|after| after.to_string());
        let response = self.open_events(submission, after.as_deref()).await.expect("a response");
        if response.status() == StatusCode::NO_CONTENT {
            return futures::stream::empty().boxed();
        }
        SseStream::new(response).into_events().take_until(tokio::time::sleep(LIMIT)).boxed()
    }
}

pub async fn expect_accepted(response: Response) -> AcceptedSubmission {
    let status = response.status();
    let text = response.text().await.expect("a response body");
    assert_eq!(status, StatusCode::ACCEPTED, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
