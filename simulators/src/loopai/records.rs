//! Records of executions and requests, as Rust types and as JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExecutionState {
    Running,
    Completed,
    Failed,
}

#[derive(Clone, Debug, Serialize)]
pub struct ImageRecord {
    /// Name given in the request, or `image N` if there is none.
    pub name: String,
    #[serde(rename = "type")]
    pub media_type: Option<String>,
    /// How the image was sent: `data`, `url` or `missing`.
    pub source: &'static str,
    /// Number of bytes after decoding. `None` if the image is unreadable or has not been read yet.
    pub size: Option<u64>,
    /// SHA-256 of the decoded bytes in lower-case hex. `None` if the image is unreadable or has not been read yet.
    pub sha256: Option<String>,
    /// Whether `sha256` matches the hash in the request. `None` if either hash is missing.
    pub sha256_matches: Option<bool>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ExecutionRecord {
    pub execution_id: String,
    pub agent_id: String,
    pub submission_id: Option<String>,
    pub client_reference: Option<String>,
    /// Comments in the request, or `None` if they contain an e-mail address.
    pub comments: Option<String>,
    pub idempotency_key: Option<String>,
    /// The scenario as text. Empty if it has no faults.
    pub scenario: String,
    pub state: ExecutionState,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// Number of executions created with the same key. More than 1 means that a request was executed repeatedly.
    pub creations: u32,
    /// Number of additional diagnose requests with the same key.
    pub repeats: u32,
    /// Number of status requests, including failed ones.
    pub polls: u32,
    pub last_polled_at: Option<DateTime<Utc>>,
    pub images: Vec<ImageRecord>,
    /// Whether all images have been read and measured.
    pub measured: bool,
    /// Whether the body contained an `email` field or text that looks like an e-mail address.
    pub contains_email: bool,
    /// JSON paths of any e-mail addresses in the body. The addresses themselves are not stored.
    pub email_paths: Vec<String>,
    pub result: Option<Value>,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RequestRecord {
    pub number: u64,
    pub at: DateTime<Utc>,
    pub method: String,
    pub path: String,
    /// Status of the response, or `None` if no response has been sent yet.
    pub status: Option<u16>,
    /// The injected fault, in directive syntax.
    pub fault: Option<String>,
    /// Id of the execution that the request created, repeated or polled.
    pub execution_id: Option<String>,
    /// Request headers, with names in lower case. `authorization` and cookies are redacted.
    pub headers: BTreeMap<String, String>,
}
