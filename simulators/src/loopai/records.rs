//! What the simulator tells about itself: executions and requests, as Rust and as JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

/// The state of an execution; its JSON form is the word of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExecutionState {
    /// At work, or stuck.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
}

/// One image as it arrived.
#[derive(Clone, Debug, Serialize)]
pub struct ImageRecord {
    /// The name that was sent, or `image N`.
    pub name: String,
    /// The media type that was sent.
    #[serde(rename = "type")]
    pub media_type: Option<String>,
    /// `data`, `url`, or `missing`.
    pub source: &'static str,
    /// Bytes received, after decoding; `None` until read, or if unreadable.
    pub size: Option<u64>,
    /// SHA-256 of those bytes in lower-case hex; `None` until read, or if unreadable.
    pub sha256: Option<String>,
    /// Whether it equals the SHA-256 that was sent; `None` if there is nothing to compare.
    pub sha256_matches: Option<bool>,
}

/// One execution and what was done to it.
#[derive(Clone, Debug, Serialize)]
pub struct ExecutionRecord {
    /// The id that the diagnose request was answered with.
    pub execution_id: String,
    /// The agent in the request's path.
    pub agent_id: String,
    /// `submission_id` of the body.
    pub submission_id: Option<String>,
    /// `client_reference` of the body.
    pub client_reference: Option<String>,
    /// `comments` of the body; not kept when they hold an e-mail address.
    pub comments: Option<String>,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// The scenario that it follows, as text; empty when it was created under one without rules.
    pub scenario: String,
    /// Where it stands.
    pub state: ExecutionState,
    /// When the diagnose request was accepted.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How many executions the same key has created so far. More than 1 means that work was done
    /// twice: only possible without keys or with `honour_idempotency = false`.
    pub creations: u32,
    /// How many more diagnose requests came with its key.
    pub repeats: u32,
    /// How many status requests came for it, failed ones included.
    pub polls: u32,
    /// When the last of them came.
    pub last_polled_at: Option<DateTime<Utc>>,
    /// The images received.
    pub images: Vec<ImageRecord>,
    /// Whether all images have been read and measured.
    pub measured: bool,
    /// Whether the body held an `email` field or anything that looks like an e-mail address.
    pub contains_email: bool,
    /// Where in the body, as JSON paths. The addresses themselves are not kept.
    pub email_paths: Vec<String>,
    /// The `result` that status requests get.
    pub result: Option<Value>,
    /// The `error` that status requests get.
    pub error: Option<String>,
}

/// One request of the contract.
#[derive(Clone, Debug, Serialize)]
pub struct RequestRecord {
    /// Counts from 1.
    pub number: u64,
    /// When it came.
    pub at: DateTime<Utc>,
    /// The HTTP method.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The status answered; `None` when none was, or not yet.
    pub status: Option<u16>,
    /// The fault that was played, as the grammar writes it.
    pub fault: Option<String>,
    /// The execution that the request created, repeated or asked for.
    pub execution_id: Option<String>,
    /// The headers, in lower case; `authorization` and cookies are redacted.
    pub headers: BTreeMap<String, String>,
}
