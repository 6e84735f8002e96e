//! HTTP: takes submissions, answers how they stand, and follows them live.
//!
//! What lives here: routes, validation, access tokens, event streams, and the starter of queued runs.
//! What does not: SQL (`diagflow-store`), LoopAI and e-mail (`diagflow-activities`), reading the
//! environment (the `diagflow` binary fills in [`ApiSettings`]).

mod access;
mod app;
mod auth;
mod call_back;
mod error;
mod events;
mod intake;
mod keep;
mod layers;
mod listing;
mod openapi;
mod origin;
mod outbox;
mod query;
mod reason;
mod router;
mod routes;
mod runs;
mod server;
mod settings;
mod telemetry;
mod times;
mod tokens;

pub use app::{App, TemporalHealth};
pub use outbox::{Outbox, Starter, StarterSettings};
pub use router::router;
pub use runs::Runs;
pub use server::serve;
pub use settings::{ApiSettings, JwtAlgorithm, JwtSettings};
pub use telemetry::metrics_builder;

#[cfg(test)]
mod tests;
