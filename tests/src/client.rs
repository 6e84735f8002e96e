//! The API as its users see it.

use crate::eventually::LIMIT;
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

/// The answer to a submission.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AcceptedSubmission {
    /// The submission.
    pub submission_id: String,
    /// Lets its owner read it.
    pub access_token: String,
    /// Where it stands.
    pub status_url: String,
    /// Its event stream.
    pub events_url: String,
}

/// A client of one API process, or of several in turn.
#[derive(Debug, Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    bases: Vec<String>,
    next: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
}

impl ApiClient {
    /// A client of the API at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: String) -> ApiClient {
        // Fails when another test was first, which is just as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self::with_http(reqwest::Client::new(), vec![base])
    }

    fn with_http(http: reqwest::Client, bases: Vec<String>) -> ApiClient {
        ApiClient { http, bases, next: Arc::default(), streams: Arc::default() }
    }

    /// A client that goes to the next of these with each request, as one behind a load balancer does. Its
    /// clones take turns with it.
    pub fn round_robin(apis: &[ApiClient]) -> ApiClient {
        let bases = apis.iter().flat_map(|api| api.bases.clone()).collect();
        Self::with_http(reqwest::Client::new(), bases)
    }

    /// A client that speaks from another address of this machine: to the API, another client.
    pub fn with_local_address(base: String, address: IpAddr) -> ApiClient {
        let http = reqwest::Client::builder().local_address(address).build().expect("a client");
        Self::with_http(http, vec![base])
    }

    /// A client that takes a connection for dead on which nothing is heard for `silence`.
    pub fn with_read_timeout(base: String, silence: Duration) -> ApiClient {
        let http = reqwest::Client::builder().read_timeout(silence).build().expect("a client");
        Self::with_http(http, vec![base])
    }

    /// The address of a path, at the API whose turn it is.
    pub fn url(&self, path: &str) -> String {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}{path}", self.bases[next % self.bases.len()])
    }

    /// Reads a path.
    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.expect("an answer")
    }

    /// A body as the existing front end sends it.
    pub fn submission_body(email: &str, comments: &str, photos: &[Photo]) -> Value {
        let images: Vec<Value> = photos.iter().map(Photo::json).collect();
        json!({"email": email, "comments": comments, "consent": true, "images": images})
    }

    /// Submits a JSON body, with a key where there is one.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn post(&self, body: &Value, key: Option<&str>) -> reqwest::Result<Response> {
        let mut call = self.http.post(self.url("/api/user/submit")).json(body);
        if let Some(key) = key {
            call = call.header("Idempotency-Key", key);
        }
        call.send().await
    }

    /// Submits by JSON.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn submit(
        &self,
        email: &str,
        comments: &str,
        photos: &[Photo],
    ) -> AcceptedSubmission {
        let body = Self::submission_body(email, comments, photos);
        expect_accepted(self.post(&body, None).await.expect("an answer")).await
    }

    /// Submits by multipart, with a key where there is one.
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
        call.send().await.expect("an answer")
    }

    /// Where a submission stands.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn status(&self, submission: &AcceptedSubmission) -> reqwest::Result<Value> {
        self.get_status(submission).await?.json().await
    }

    /// The answer to that question, whatever it is.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn get_status(&self, submission: &AcceptedSubmission) -> reqwest::Result<Response> {
        let path = format!("/api/user/status/{}", submission.submission_id);
        let call = self.http.get(self.url(&path)).bearer_auth(&submission.access_token);
        call.send().await
    }

    /// Opens the event stream after event `after`.
    ///
    /// # Errors
    /// When the connection breaks.
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
        let answer = call.send().await?;
        if answer.status() == StatusCode::OK {
            self.streams.fetch_add(1, Ordering::Relaxed);
        }
        Ok(answer)
    }

    /// How many event streams it and its clones have opened.
    pub fn streams_opened(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// The events after event `after`, as they come, until the stream ends or breaks; at most for
    /// [`LIMIT`].
    ///
    /// # Panics
    /// When the stream is not opened.
    pub async fn events(
        &self,
        submission: &AcceptedSubmission,
        after: Option<i64>,
    ) -> BoxStream<'static, SseEvent> {
        let after = after.map(|after| after.to_string());
        let response = self.open_events(submission, after.as_deref()).await.expect("an answer");
        if response.status() == StatusCode::NO_CONTENT {
            return futures::stream::empty().boxed();
        }
        SseStream::new(response).into_events().take_until(tokio::time::sleep(LIMIT)).boxed()
    }
}

/// The submission that an answer accepts.
///
/// # Panics
/// When it is no 202.
pub async fn expect_accepted(response: Response) -> AcceptedSubmission {
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert_eq!(status, StatusCode::ACCEPTED, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
