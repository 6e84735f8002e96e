pub(super) mod health;
pub(super) mod metrics;
pub(crate) mod probe;
pub(super) mod ready;
pub(super) mod version;
