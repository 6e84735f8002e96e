//! What the simulator can be told at start.

use std::fmt;

use serde::Deserialize;

use super::scenario::Scenario;

/// Settings of the simulator. Every field has a default; unknown fields are refused.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// When set, requests of the contract need `Authorization: Bearer` with exactly this key.
    pub api_key: Option<String>,
    /// Milliseconds from acceptance to the end of an execution, unless a scenario says otherwise.
    pub delay_ms: u64,
    /// Whether a repeated key gives the same execution; `false` plays a platform that ignores keys.
    pub honour_idempotency: bool,
    /// The default scenario.
    pub scenario: Scenario,
    /// How many executions and how many requests are remembered; the oldest go first.
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
