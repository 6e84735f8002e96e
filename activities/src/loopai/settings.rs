//! How to reach LoopAI.

use secrecy::SecretString;
use std::time::Duration;
use url::Url;

/// How to reach LoopAI.
#[derive(Debug, Clone)]
pub struct LoopAiSettings {
    /// `LOOPAI_API_URL`: the base address; default `http://loopai-web:5000`.
    pub url: Url,
    /// `LOOPAI_API_KEY`: sent as a Bearer token where set.
    pub key: Option<SecretString>,
    /// `LOOPAI_AGENT_ID`: the agent that diagnoses; default 1.
    pub agent_id: i32,
    /// `LOOPAI_TIMEOUT_SECONDS`: limit of one call, answer included; default 30 s.
    pub timeout: Duration,
}
