//! Submissions: the row and its lock, states, events, counters, results, idempotency keys.

pub(crate) mod counters;
pub(crate) mod create;
pub(crate) mod events;
pub(crate) mod idempotency;
pub(crate) mod results;
pub(crate) mod row;
pub(crate) mod status;
