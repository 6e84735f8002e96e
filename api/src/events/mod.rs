//! Following submissions live: one tail of the events table per process, and a stream per listener.

pub(crate) mod all_events;
mod cursor;
pub(crate) mod event_hub;
pub(crate) mod submission_events;
