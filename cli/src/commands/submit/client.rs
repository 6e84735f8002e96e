//! The API as this command uses it.

use super::stream::{Message, messages};
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

/// Tries of a submission before the command gives up; they share one Idempotency-Key. Two minutes of pauses, so
/// longer than the key of a try that broke off is held (`IDEMPOTENCY_LEASE_SECONDS`).
const TRIES: u32 = 7;
/// Longest pause, whatever the server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A photo to be sent.
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

/// The answer to a submission.
#[derive(Deserialize)]
pub(super) struct Accepted {
    pub(super) submission_id: String,
    pub(super) status_url: String,
    pub(super) events_url: String,
    access_token: String,
}

/// The API refused; in its own words.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    lines: Vec<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused ({})", self.status.as_u16())?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Refused {}

/// The API cannot answer just now.
#[derive(Debug)]
pub(super) struct NotNow {
    status: StatusCode,
    /// When to come again, where it says so.
    pub(super) after: Option<Duration>,
}

impl fmt::Display for NotNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status)
    }
}

impl std::error::Error for NotNow {}

pub(super) struct Client {
    /// For uploads: while one is on its way, nothing is to be read, however long it takes.
    http: reqwest::Client,
    /// For everything else: gives up when nothing comes for too long.
    impatient: reqwest::Client,
    server: Url,
}

impl Client {
    /// A client that counts what is silent for longer than `silence` as broken.
    pub(super) fn new(server: Url, silence: Duration) -> anyhow::Result<Client> {
        let usual = || reqwest::Client::builder().connect_timeout(Duration::from_secs(10));
        let (http, impatient) = (usual().build()?, usual().read_timeout(silence).build()?);
        Ok(Client { http, impatient, server })
    }

    /// Submits; repeats after a broken connection or a busy server, always with the same key. Where
    /// nobody listens, it says so at once.
    pub(super) async fn submit(
        &self,
        email: &str,
        comments: &str,
        consent: bool,
        photos: Vec<Photo>,
    ) -> anyhow::Result<Accepted> {
        let key = Uuid::new_v4().to_string();
        let mut tries = 1;
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
                Err(error) => !error.is_connect() || tries > 1,
            };
            if !may_repeat || tries == TRIES {
                let response = outcome.with_context(|| {
                    format!("cannot reach {} (is the API running?)", self.server)
                })?;
                return Ok(accepted(response).await?.json().await?);
            }
            let asked = outcome.as_ref().ok().and_then(retry_after).unwrap_or_default();
            let pause = Duration::from_secs(1 << tries).max(asked).min(LONGEST_PAUSE);
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    /// The event stream after event `last_id`; `None` when there is nothing more to come.
    pub(super) async fn events(
        &self,
        accepted_submission: &Accepted,
        last_id: Option<&str>,
    ) -> anyhow::Result<Option<BoxStream<'static, Result<Message, reqwest::Error>>>> {
        let mut call = self
            .impatient
            .get(&accepted_submission.events_url)
            .bearer_auth(&accepted_submission.access_token);
        if let Some(id) = last_id {
            call = call.header("Last-Event-ID", id);
        }
        let response = accepted(call.send().await?).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        Ok(Some(boxed(messages(response.bytes_stream()))))
    }

    pub(super) async fn status(&self, submission: &Accepted) -> anyhow::Result<Value> {
        let call = self.impatient.get(&submission.status_url).bearer_auth(&submission.access_token);
        Ok(accepted(call.send().await?).await?.json().await?)
    }
}

fn boxed(
    stream: impl Stream<Item = Result<Message, reqwest::Error>> + Send + 'static,
) -> BoxStream<'static, Result<Message, reqwest::Error>> {
    Box::pin(stream)
}

/// When to come again, where the answer says so.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.parse().ok().map(Duration::from_secs)
}

/// The response itself, or why there is none.
async fn accepted(response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(NotNow { status, after: retry_after(&response) }.into());
    }
    let body: Value = response.json().await.unwrap_or_default();
    let lines = match body["errors"].as_array() {
        Some(errors) => errors.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => body["message"].as_str().map(str::to_owned).into_iter().collect(),
    };
    Err(Refused { status, lines }.into())
}
