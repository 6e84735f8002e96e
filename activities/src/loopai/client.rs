//! The HTTP client: two calls, each bounded in time and size.

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

/// Largest answer that is read (`docs/loopai.md`).
const MAX_RESPONSE_BYTES: usize = 5 * 1024 * 1024;
/// Longest wish to wait that is honoured; more than the longest pause between two tries helps nobody.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);
/// Longest execution id that our records hold.
const MAX_EXECUTION_ID_LEN: usize = 255;

/// An image to be diagnosed.
#[derive(Debug, Clone)]
pub struct Image {
    /// The name that the patient's device gave it.
    pub name: String,
    /// What its bytes are, e.g. `image/jpeg`.
    pub media_type: String,
    /// Bytes.
    pub size: i64,
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// How LoopAI gets its bytes.
    pub content: ImageContent,
}

/// How LoopAI gets an image's bytes.
#[derive(Debug, Clone)]
pub enum ImageContent {
    /// Within the request.
    Data(Bytes),
    /// By fetching them from an address.
    Url(String),
}

/// What LoopAI is asked to diagnose. No e-mail address: a diagnosis needs none.
#[derive(Debug, Clone)]
pub struct DiagnoseRequest {
    /// Our name for the submission.
    pub submission_id: String,
    /// Names this run of it; repeating it must not start a second execution.
    pub reference: String,
    /// What the patient wrote.
    pub comments: String,
    /// What the patient photographed.
    pub images: Vec<Image>,
}

/// How an execution stands.
#[derive(Debug, Clone, PartialEq)]
pub enum ExecutionStatus {
    /// At work; this is any word but the two below.
    Running,
    /// Done.
    Completed(DiagnosisResult),
    /// Given up by LoopAI, in its own words.
    Failed(String),
}

/// Client of LoopAI. Cheap to clone; all clones share one pool of connections.
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
    size: i64,
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
    /// Makes the client.
    ///
    /// # Errors
    /// When the TLS back end cannot be set up.
    pub fn new(settings: LoopAiSettings) -> Result<LoopAiClient, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout / 3)
            // A redirect would send a patient's photos to whoever the answer names.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("diagflow/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(LoopAiClient { http, settings })
    }

    /// The agent that diagnoses.
    pub fn agent_id(&self) -> i32 {
        self.settings.agent_id
    }

    /// Asks for a diagnosis; returns LoopAI's name for the execution.
    ///
    /// # Errors
    /// See [`LoopAiError`]. After a broken connection the execution may exist all the same; the same
    /// `reference` finds it again where LoopAI honours it.
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
            _ => return Err(LoopAiError::Unreadable("execution_id is no name".into())),
        };
        // The last two would vanish from the address of the look.
        if id.is_empty() || id.len() > MAX_EXECUTION_ID_LEN || matches!(id.as_str(), "." | "..") {
            return Err(LoopAiError::Unreadable("execution_id is empty, too long, or dots".into()));
        }
        Ok(id)
    }

    /// Asks how an execution stands.
    ///
    /// # Errors
    /// See [`LoopAiError`].
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
    // The address may carry credentials; the cause says enough.
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

/// `Retry-After` in seconds. Its other form, a date, is as good as none: our clocks may differ.
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
    // The place of the fault, never the text: it may hold a patient's data.
    serde_json::from_slice(body).map_err(|error| {
        LoopAiError::Unreadable(format!("line {}, column {}", error.line(), error.column()))
    })
}
