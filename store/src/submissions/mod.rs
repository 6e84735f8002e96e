//! Submissions and their states, events, counters, results, idempotency keys and per-recipient limits.

pub(crate) mod counters;
pub(crate) mod create;
pub(crate) mod deletion;
pub(crate) mod events;
pub(crate) mod idempotency;
pub(crate) mod language;
pub(crate) mod messages;
pub(crate) mod recipient_limits;
pub(crate) mod report;
pub(crate) mod results;
pub(crate) mod row;
pub(crate) mod status;
pub(crate) mod steps;
