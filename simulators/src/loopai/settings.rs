//! Settings of the LoopAI simulator.

use std::fmt;

use serde::Deserialize;

use super::scenario::Scenario;

/// Every field has a default; unknown fields are rejected.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// If set, platform API requests must send `Authorization: Bearer` with this key.
    pub api_key: Option<String>,
    /// Milliseconds from acceptance to the end of an execution, unless the scenario has a delay.
    pub delay_ms: u64,
    pub honour_idempotency: bool,
    pub scenario: Scenario,
    /// Maximum number of executions and of requests; the oldest are deleted first.
    pub capacity: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_key: None,
            delay_ms: 3000,
            honour_idempotency: true,
            scenario: Scenario::default(),
            capacity: 10_000,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("api_key", &self.api_key.as_ref().map(|_| "…"))
            .field("delay_ms", &self.delay_ms)
            .field("honour_idempotency", &self.honour_idempotency)
            .field("scenario", &self.scenario.to_string())
            .field("capacity", &self.capacity)
            .finish()
    }
}
