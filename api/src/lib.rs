//! The HTTP API: routes, validation, sign-in, event streams, and the background tasks that start runs in Temporal.
//!
//! The SQL is in `diagflow-store`, and the LoopAI and e-mail clients are in `diagflow-activities`. The `diagflow`
//! binary reads the settings.

mod app;
mod auth;
mod dispatch;
mod error;
mod events;
mod extract;
mod header_names;
mod history;
mod intake;
mod layers;
mod listing;
mod openapi;
mod own_task;
mod pages;
mod proxies;
mod request_id;
mod router;
mod routes;
mod server;
mod setting_list;
mod settings;
mod telemetry;
mod usual_time;

pub use app::{App, StartProblem, TemporalHealth};
pub use auth::password::{WeakPassword, check_password, hash_password};
pub use dispatch::workers::{SeenWorker, seen_workers};
pub use dispatch::{BackgroundTasks, Dispatch, DispatchSettings};
pub use error::ErrorCode;
pub use proxies::TrustedProxies;
pub use router::router;
pub use routes::table::{Access, Route, route_table};
pub use server::serve;
pub use setting_list::SettingInUse;
pub use settings::{ApiSettings, JwtAlgorithm, JwtSettings, OpenLimits, RateLimits};
pub use telemetry::metrics_builder;

#[cfg(test)]
mod tests;
