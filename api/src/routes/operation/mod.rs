pub(super) mod health;
pub(super) mod home;
pub(super) mod metrics;
mod probe;
pub(super) mod ready;
pub(super) mod version;
