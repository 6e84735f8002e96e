//! Server-sent events: one poller of the events table per process, and one stream per client.

pub(crate) mod all_events;
mod cursor;
pub(crate) mod event_hub;
pub(crate) mod stream_permits;
pub(crate) mod submission_events;
pub(crate) mod wire;
