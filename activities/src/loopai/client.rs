//! LoopAI's HTTP client. It limits the duration of each request and the size of its response.

use super::error::LoopAiError;
use super::settings::LoopAiSettings;
use crate::telemetry::{self, Call};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use diagflow_store::{DiagnosisResult, Sha256};
use futures::StreamExt;
use reqwest::header::CONTENT_TYPE;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode, redirect};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// As described in `docs/loopai.md`.
const MAX_RESPONSE_BYTES: usize = 5 * 1024 * 1024;
/// A longer `Retry-After` is reduced to this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);
/// The size of the database column.
const MAX_EXECUTION_ID_LEN: usize = 255;

#[derive(Debug, Clone)]
pub struct Image {
    /// Such as `image-1.jpg`.
    pub name: String,
    /// Such as `image/jpeg`.
    pub media_type: String,
    pub size: u64,
    pub sha256: Sha256,
    pub content: ImageContent,
}

#[derive(Debug, Clone)]
pub enum ImageContent {
    Data(Bytes),
    /// LoopAI fetches the image from this address.
    Url(String),
}

/// Contains no e-mail address, because a diagnosis does not need it.
#[derive(Debug, Clone)]
pub struct DiagnoseRequest {
    pub submission_id: String,
    /// Identifies the run. A repeated request with the same reference must not start a second execution.
    pub reference: String,
    pub comments: String,
    pub images: Vec<Image>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExecutionStatus {
    /// Any status except `COMPLETED` and `FAILED`.
    Running,
    Completed(DiagnosisResult),
    /// Contains LoopAI's error message.
    Failed(String),
}

/// Cheap to clone: all clones share one connection pool.
#[derive(Debug, Clone)]
pub struct LoopAiClient {
    http: reqwest::Client,
    settings: LoopAiSettings,
}

#[derive(Serialize)]
struct DiagnoseBody<'a> {
    submission_id: &'a str,
    client_reference: &'a str,
    comments: &'a str,
    images: Vec<ImageBody<'a>>,
}

#[derive(Serialize)]
struct ImageBody<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    media_type: &'a str,
    size: u64,
    sha256: String,
    #[serde(flatten)]
    content: ContentBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ContentBody<'a> {
    Data(String),
    Url(&'a str),
}

#[derive(Deserialize)]
struct DiagnoseResponse {
    execution_id: Value,
}

#[derive(Deserialize)]
struct StatusResponse {
    status: Option<String>,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Value,
}

impl LoopAiClient {
    pub fn new(settings: LoopAiSettings) -> Result<LoopAiClient, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout / 3)
            // A redirect would send a patient's photos to an unknown host.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("diagflow/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(LoopAiClient { http, settings })
    }

    pub fn agent_id(&self) -> i32 {
        self.settings.agent_id
    }

    /// Requests a diagnosis and returns the execution id. Even after an error, LoopAI may have started an execution. A
    /// repeated request with the same `reference` then returns its id, if LoopAI supports that.
    pub async fn diagnose(&self, request: &DiagnoseRequest) -> Result<String, LoopAiError> {
        let outcome = self.post_diagnose(request).await;
        telemetry::loopai_request(Call::Diagnose, &outcome);
        outcome
    }

    async fn post_diagnose(&self, request: &DiagnoseRequest) -> Result<String, LoopAiError> {
        let path = format!("api/public/agent/{}/action/diagnose/", self.settings.agent_id);
        let request = self
            .http
            .post(self.endpoint(&path)?)
            .header("Idempotency-Key", &request.reference)
            .json(&body(request));
        let response: DiagnoseResponse = parse(&self.send(request).await?)?;
        let id = match response.execution_id {
            Value::String(id) => id,
            Value::Number(id) => id.to_string(),
            _ => {
                return Err(LoopAiError::Unreadable(
                    "execution_id is neither a string nor a number".into(),
                ));
            }
        };
        // The dot segments `.` and `..` would be removed from the URL of a poll.
        if id.is_empty() || id.len() > MAX_EXECUTION_ID_LEN || matches!(id.as_str(), "." | "..") {
            return Err(LoopAiError::Unreadable(
                "execution_id is empty, too long, or a dot segment".into(),
            ));
        }
        Ok(id)
    }

    pub async fn execution_status(
        &self,
        execution_id: &str,
    ) -> Result<ExecutionStatus, LoopAiError> {
        let outcome = self.fetch_status(execution_id).await;
        telemetry::loopai_request(Call::Status, &outcome);
        outcome
    }

    async fn fetch_status(&self, execution_id: &str) -> Result<ExecutionStatus, LoopAiError> {
        let mut endpoint = self.endpoint("api/execution/")?;
        endpoint
            .path_segments_mut()
            .map_err(|()| LoopAiError::Unreachable("the address cannot have a path".into()))?
            .pop_if_empty()
            .extend([execution_id, "status", ""]);
        let response: StatusResponse = parse(
            &self.send(self.http.get(endpoint).header(CONTENT_TYPE, "application/json")).await?,
        )?;
        match response.status.as_deref() {
            Some("COMPLETED") => match response.result {
                Value::Object(result) => {
                    Ok(ExecutionStatus::Completed(DiagnosisResult::new(result)))
                }
                _ => Err(LoopAiError::NoResult),
            },
            Some("FAILED") => Ok(ExecutionStatus::Failed(match response.error {
                Value::String(error) => error,
                Value::Null => String::new(),
                other => other.to_string(),
            })),
            Some(_) => Ok(ExecutionStatus::Running),
            None => Err(LoopAiError::Unreadable("status is missing".into())),
        }
    }

    fn endpoint(&self, path: &str) -> Result<url::Url, LoopAiError> {
        let base = self.settings.url.as_str().trim_end_matches('/');
        format!("{base}/{path}")
            .parse()
            .map_err(|error: url::ParseError| LoopAiError::Unreachable(error.to_string()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Bytes, LoopAiError> {
        let request = match &self.settings.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        };
        let response = request.send().await.map_err(transport_error)?;
        check_status(&response)?;
        read_bounded(response).await
    }
}

fn body(request: &DiagnoseRequest) -> DiagnoseBody<'_> {
    let images = request.images.iter().map(|image| ImageBody {
        name: &image.name,
        media_type: &image.media_type,
        size: image.size,
        sha256: image.sha256.to_string(),
        content: match &image.content {
            ImageContent::Data(bytes) => ContentBody::Data(format!(
                "data:{};base64,{}",
                image.media_type,
                STANDARD.encode(bytes)
            )),
            ImageContent::Url(url) => ContentBody::Url(url),
        },
    });
    DiagnoseBody {
        submission_id: &request.submission_id,
        client_reference: &request.reference,
        comments: &request.comments,
        images: images.collect(),
    }
}

fn transport_error(error: reqwest::Error) -> LoopAiError {
    if error.is_timeout() {
        return LoopAiError::Timeout;
    }
    // The URL may contain credentials.
    LoopAiError::Unreachable(format!("{:?}", error.without_url()))
}

fn check_status(response: &Response) -> Result<(), LoopAiError> {
    let status = response.status();
    let number = status.as_u16();
    let retry_after = || retry_after(response.headers());
    match status {
        status if status.is_success() => Ok(()),
        status if status.is_redirection() => Err(LoopAiError::Redirected(number)),
        StatusCode::TOO_MANY_REQUESTS => {
            Err(LoopAiError::RateLimited { retry_after: retry_after() })
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(LoopAiError::Unauthorized(number)),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(LoopAiError::NotFound(number)),
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::CONFLICT
        | StatusCode::LOCKED
        | StatusCode::TOO_EARLY => {
            Err(LoopAiError::Unavailable { status: number, retry_after: retry_after() })
        }
        status if status.is_client_error() => Err(LoopAiError::Refused(number)),
        _ => Err(LoopAiError::Unavailable { status: number, retry_after: retry_after() }),
    }
}

/// `Retry-After` in seconds. Its other form, a date, is ignored, because clocks may differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

async fn read_bounded(response: Response) -> Result<Bytes, LoopAiError> {
    let mut body = BytesMut::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(transport_error)?;
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(LoopAiError::TooLarge { limit: MAX_RESPONSE_BYTES });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, LoopAiError> {
    // Only the position, because the text may contain a patient's data.
    serde_json::from_slice(body).map_err(|error| {
        LoopAiError::Unreadable(format!("line {}, column {}", error.line(), error.column()))
    })
}
