//! HTTP: takes submissions, answers how they stand, and follows them live.
//!
//! What lives here: routes, validation, access tokens, event streams, and the starter of queued runs.
//! What does not: SQL (`diagflow-store`), LoopAI and e-mail (`diagflow-activities`), reading the
//! environment (the `diagflow` binary fills in [`ApiSettings`]).

mod access;
mod app;
mod auth;
mod body;
mod call_back;
mod error;
mod events;
mod history;
mod intake;
mod keep;
mod keeper;
mod layers;
mod listing;
mod named;
mod openapi;
mod origin;
mod outbox;
mod query;
mod reason;
mod route_table;
mod router;
mod routes;
mod runs;
mod server;
mod settings;
mod telemetry;
mod times;
mod tokens;
mod unnamed;

pub use app::{App, TemporalHealth};
pub use auth::password::{WeakPassword, check as check_password, hash as hash_password};
pub use keeper::{Keeper, KeeperSettings};
pub use outbox::{Outbox, Starter, StarterSettings};
pub use route_table::{Admits, Route, route_table};
pub use router::router;
pub use runs::Runs;
pub use server::serve;
pub use settings::{ApiSettings, JwtAlgorithm, JwtSettings, RateLimits};
pub use telemetry::metrics_builder;
pub use unnamed::sweep_unnamed_bytes;

#[cfg(test)]
mod tests;
