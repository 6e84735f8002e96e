//! Following submissions live: one tail of the events table per process, and a stream per listener.

mod cursor;
pub(crate) mod hub;
pub(crate) mod live;
pub(crate) mod stream;
