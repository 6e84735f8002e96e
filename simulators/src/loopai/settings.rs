//! Settings for the LoopAI simulator.

use std::fmt;

use serde::Deserialize;

use super::scenario::Scenario;

/// Settings for the simulator. Every field has a default, and unknown fields are rejected.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// API key. If set, requests to the platform's API must contain `Authorization: Bearer` with this key.
    pub api_key: Option<String>,
    /// Milliseconds from an execution's creation to its end. A delay in the scenario takes precedence.
    pub delay_ms: u64,
    pub honour_idempotency: bool,
    pub scenario: Scenario,
    /// Maximum number of stored executions and, separately, of stored requests. The oldest are evicted first.
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
