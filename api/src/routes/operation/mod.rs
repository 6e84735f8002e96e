//! How the service itself stands.

pub(super) mod health;
pub(super) mod home;
pub(super) mod metrics;
mod patience;
pub(super) mod ready;
pub(super) mod version;
