//! The HTTP client of `diagflow submit`.

use super::stream::{SseEvent, parse_events};
use anyhow::Context;
use futures::Stream;
use futures::stream::BoxStream;
use reqwest::header::RETRY_AFTER;
use reqwest::multipart::{Form, Part};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;
use uuid::Uuid;

/// All attempts share one Idempotency-Key. An interrupted attempt reserves the key for `IDEMPOTENCY_LEASE_SECONDS`, so
/// the pauses between attempts, two minutes in total, must exceed that lease.
const MAX_ATTEMPTS: u32 = 7;
/// Caps the pause even if the server requests a longer delay.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(super) struct Photo {
    name: String,
    media_type: &'static str,
    bytes: Vec<u8>,
}

impl Photo {
    pub(super) fn read(path: &PathBuf) -> anyhow::Result<Photo> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let media_type =
            infer::get(&bytes).map_or("application/octet-stream", |kind| kind.mime_type());
        Ok(Photo { name, media_type, bytes })
    }

    fn part(&self) -> anyhow::Result<Part> {
        let part = Part::bytes(self.bytes.clone()).file_name(self.name.clone());
        Ok(part.mime_str(self.media_type)?)
    }
}

#[derive(Deserialize)]
pub(super) struct AcceptedSubmission {
    pub(super) submission_id: String,
    pub(super) status_url: String,
    pub(super) events_url: String,
    access_token: String,
}

/// The API rejected the request for the reasons in `lines`.
#[derive(Debug)]
pub(super) struct Rejected {
    status: StatusCode,
    lines: Vec<String>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rejected ({})", self.status.as_u16())?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Rejected {}

/// The API is temporarily unavailable (429 or 5xx).
#[derive(Debug)]
pub(super) struct Unavailable {
    status: StatusCode,
    pub(super) retry_after: Option<Duration>,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server returned {}", self.status)
    }
}

impl std::error::Error for Unavailable {}

pub(super) struct Client {
    /// HTTP client for uploads, during which the server may not send anything for a long time.
    http: reqwest::Client,
    http_with_timeout: reqwest::Client,
    server: Url,
}

impl Client {
    pub(super) fn new(server: Url, read_timeout: Duration) -> anyhow::Result<Client> {
        let builder = || reqwest::Client::builder().connect_timeout(Duration::from_secs(10));
        let (http, http_with_timeout) =
            (builder().build()?, builder().read_timeout(read_timeout).build()?);
        Ok(Client { http, http_with_timeout, server })
    }

    /// Submits photos. Retries with the same Idempotency-Key if the connection is lost or the server is busy, but fails
    /// immediately if the first attempt cannot connect.
    pub(super) async fn submit(
        &self,
        email: &str,
        comments: &str,
        consent: bool,
        photos: Vec<Photo>,
    ) -> anyhow::Result<AcceptedSubmission> {
        let key = Uuid::new_v4().to_string();
        let mut attempts = 1;
        loop {
            let mut form = Form::new()
                .text("email", email.to_owned())
                .text("comments", comments.to_owned())
                .text("consent", consent.to_string());
            for photo in &photos {
                form = form.part("images", photo.part()?);
            }
            let address = self.server.join("/api/user/submit")?;
            let call = self.http.post(address).header("Idempotency-Key", &key).multipart(form);
            let outcome = call.send().await;
            let may_repeat = match &outcome {
                Ok(response) => {
                    matches!(response.status().as_u16(), 409 | 429 | 500 | 502..=504)
                }
                Err(error) => !error.is_connect() || attempts > 1,
            };
            if !may_repeat || attempts == MAX_ATTEMPTS {
                let response = outcome.with_context(|| {
                    format!("cannot reach {} (is the API running?)", self.server)
                })?;
                return Ok(check_status(response).await?.json().await?);
            }
            let requested = outcome.as_ref().ok().and_then(retry_after).unwrap_or_default();
            let pause = Duration::from_secs(1 << attempts).max(requested).min(MAX_RETRY_PAUSE);
            tokio::time::sleep(pause).await;
            attempts += 1;
        }
    }

    /// Opens the event stream, starting after event `last_id`. Returns `None` if there are no further events.
    pub(super) async fn events(
        &self,
        submission: &AcceptedSubmission,
        last_id: Option<&str>,
    ) -> anyhow::Result<Option<BoxStream<'static, Result<SseEvent, reqwest::Error>>>> {
        let mut call = self
            .http_with_timeout
            .get(&submission.events_url)
            .bearer_auth(&submission.access_token);
        if let Some(id) = last_id {
            call = call.header("Last-Event-ID", id);
        }
        let response = check_status(call.send().await?).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        Ok(Some(boxed(parse_events(response.bytes_stream()))))
    }

    pub(super) async fn status(&self, submission: &AcceptedSubmission) -> anyhow::Result<Value> {
        let call = self
            .http_with_timeout
            .get(&submission.status_url)
            .bearer_auth(&submission.access_token);
        Ok(check_status(call.send().await?).await?.json().await?)
    }
}

fn boxed(
    stream: impl Stream<Item = Result<SseEvent, reqwest::Error>> + Send + 'static,
) -> BoxStream<'static, Result<SseEvent, reqwest::Error>> {
    Box::pin(stream)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.parse().ok().map(Duration::from_secs)
}

async fn check_status(response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Unavailable { status, retry_after: retry_after(&response) }.into());
    }
    let body: Value = response.json().await.unwrap_or_default();
    let lines = match body["errors"].as_array() {
        Some(errors) => errors.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => body["message"].as_str().map(str::to_owned).into_iter().collect(),
    };
    Err(Rejected { status, lines }.into())
}
