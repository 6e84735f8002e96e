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
    /// The name that was sent, or `image N`.
    pub name: String,
    #[serde(rename = "type")]
    pub media_type: Option<String>,
    /// `data`, `url`, or `missing`.
    pub source: &'static str,
    /// Number of bytes after decoding; `None` until the image is read, or if it is unreadable.
    pub size: Option<u64>,
    /// SHA-256 of the bytes in lower-case hex; `None` until the image is read, or if it is unreadable.
    pub sha256: Option<String>,
    /// Whether the hash equals the hash that was sent; `None` if either is missing.
    pub sha256_matches: Option<bool>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ExecutionRecord {
    pub execution_id: String,
    pub agent_id: String,
    pub submission_id: Option<String>,
    pub client_reference: Option<String>,
    /// Omitted if they contain an e-mail address.
    pub comments: Option<String>,
    pub idempotency_key: Option<String>,
    /// The scenario as text; empty without faults.
    pub scenario: String,
    pub state: ExecutionState,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// Number of executions created with the same key. A number above 1 means that work was done more than once.
    pub creations: u32,
    /// Number of further diagnose requests with the same key.
    pub repeats: u32,
    /// Number of status requests, including failed ones.
    pub polls: u32,
    pub last_polled_at: Option<DateTime<Utc>>,
    pub images: Vec<ImageRecord>,
    /// Whether all images have been read and measured.
    pub measured: bool,
    /// Whether the body contained an `email` field or text that looks like an e-mail address.
    pub contains_email: bool,
    /// JSON paths of the e-mail addresses in the body. The addresses themselves are not stored.
    pub email_paths: Vec<String>,
    pub result: Option<Value>,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RequestRecord {
    /// Starts at 1.
    pub number: u64,
    pub at: DateTime<Utc>,
    pub method: String,
    /// Without the query.
    pub path: String,
    /// `None` until a response is sent.
    pub status: Option<u16>,
    /// The fault that was applied, in the syntax of a directive.
    pub fault: Option<String>,
    /// The execution that was created, returned again or polled.
    pub execution_id: Option<String>,
    /// Names in lower case; `authorization` and cookies are redacted.
    pub headers: BTreeMap<String, String>,
}
