//! The HTTP client for LoopAI. It limits the duration of each request and the size of each response.

use super::error::LoopAiError;
use super::settings::LoopAiSettings;
use crate::telemetry::{self, Call};
use async_compression::tokio::bufread::GzipDecoder;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use diagflow_store::{DiagnosisResult, Sha256};
use futures::TryStreamExt;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode, redirect};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

/// Maximum size of a response after decompression.
const MAX_RESPONSE_BYTES: usize = diagflow_store::MAX_RESULT_BYTES;
/// Longer `Retry-After` values are capped at this limit.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);
/// Width of the database column for execution ids.
const MAX_EXECUTION_ID_LEN: usize = 255;
const MAX_STATUS_LEN: usize = 32;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug, Clone)]
pub struct Image {
    /// Name under which LoopAI receives the image, such as `image-1.jpg`.
    pub name: String,
    pub media_type: String,
    pub size: u64,
    pub sha256: Sha256,
    pub content: ImageContent,
}

#[derive(Debug, Clone)]
pub enum ImageContent {
    Data(Bytes),
    /// Signed URL from which LoopAI fetches the image.
    Url(String),
}

/// A diagnosis request. It omits the patient's e-mail address, which LoopAI does not need.
#[derive(Debug, Clone)]
pub struct DiagnoseRequest {
    pub submission_id: String,
    /// Identifies the run. LoopAI must not start a second execution for a reference it has already seen.
    pub reference: String,
    pub comments: String,
    pub images: Vec<Image>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExecutionStatus {
    /// LoopAI returned this status, which is neither `COMPLETED` nor `FAILED`. Because the status is stored in
    /// Temporal's history, any value that is not a single word is replaced with `OTHER`.
    Running(String),
    Completed(DiagnosisResult),
    /// The execution failed, and LoopAI returned this error message.
    Failed(String),
}

/// A LoopAI client. Cloning is cheap because all clones share one connection pool.
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
            // Redirects are disabled because following one could send a patient's photos to an unknown host.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("diagflow/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(LoopAiClient { http, settings })
    }

    pub fn agent_id(&self) -> i32 {
        self.settings.agent_id
    }

    /// Requests a diagnosis and returns the execution id. Even if this fails, LoopAI may have started an execution. If
    /// LoopAI supports idempotency keys, retrying with the same `reference` returns that execution's id.
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
        // `.` and `..` are dot segments, which URL parsing would remove from the poll URL.
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
            .map_err(|()| LoopAiError::Unreachable("the LoopAI URL cannot have a path".into()))?
            .pop_if_empty()
            .extend([execution_id, "status", ""]);
        let response: StatusResponse = parse(
            &self.send(self.http.get(endpoint).header(CONTENT_TYPE, "application/json")).await?,
        )?;
        let Some(status) = response.status else {
            return Err(LoopAiError::Unreadable("status is missing".into()));
        };
        match status.trim().to_ascii_uppercase() {
            status if status == "COMPLETED" => match response.result {
                Value::Object(result) => {
                    Ok(ExecutionStatus::Completed(DiagnosisResult::new(result)))
                }
                _ => Err(LoopAiError::NoResult),
            },
            status if status == "FAILED" => Ok(ExecutionStatus::Failed(match response.error {
                Value::String(error) => error,
                Value::Null => String::new(),
                other => other.to_string(),
            })),
            status => Ok(ExecutionStatus::Running(single_word(status))),
        }
    }

    fn endpoint(&self, path: &str) -> Result<url::Url, LoopAiError> {
        let base = self.settings.url.as_str().trim_end_matches('/');
        format!("{base}/{path}")
            .parse()
            .map_err(|error: url::ParseError| LoopAiError::Unreachable(error.to_string()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, LoopAiError> {
        let request = match &self.settings.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        };
        let request = request.header(ACCEPT_ENCODING, "gzip");
        let response = request.send().await.map_err(transport_error)?;
        check_status(&response)?;
        read_body(response).await
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
    // The URL is omitted from the log because it may contain credentials.
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

/// Reads a `Retry-After` header given in seconds. Dates are ignored because clocks may differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

async fn read_body(response: Response) -> Result<Vec<u8>, LoopAiError> {
    let is_gzip = response.headers().get(CONTENT_ENCODING).is_some_and(|encoding| {
        ["gzip", "x-gzip"]
            .iter()
            .any(|name| encoding.as_bytes().eq_ignore_ascii_case(name.as_bytes()))
    });
    let body = StreamReader::new(response.bytes_stream().map_err(io::Error::other));
    if !is_gzip {
        return read_bounded(body).await;
    }
    let mut gzip = GzipDecoder::new(body);
    gzip.multiple_members(true);
    read_bounded(gzip).await
}

async fn read_bounded(body: impl AsyncRead + Unpin) -> Result<Vec<u8>, LoopAiError> {
    let mut read = Vec::new();
    body.take(MAX_RESPONSE_BYTES as u64 + 1).read_to_end(&mut read).await.map_err(body_error)?;
    if read.len() > MAX_RESPONSE_BYTES {
        return Err(LoopAiError::TooLarge { limit: MAX_RESPONSE_BYTES });
    }
    Ok(read)
}

fn body_error(error: io::Error) -> LoopAiError {
    match error.downcast::<reqwest::Error>() {
        Ok(error) => transport_error(error),
        Err(error) => LoopAiError::Unreadable(format!("gzip: {}", error.kind())),
    }
}

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, LoopAiError> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    // The error contains only a position because the response may contain patient data.
    serde_json::from_slice(body).map_err(|error| {
        LoopAiError::Unreadable(format!("line {}, column {}", error.line(), error.column()))
    })
}

fn single_word(status: String) -> String {
    let is_word =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if (1..=MAX_STATUS_LEN).contains(&status.len()) && is_word(&status) {
        status
    } else {
        "OTHER".to_owned()
    }
}

#[cfg(test)]
mod tests;
