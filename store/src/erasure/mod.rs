//! Erasure: permanently removes all of a submission's personal data, leaving only its id, states and times. See
//! `docs/adr/0018-erasure.md`.

pub(crate) mod eraser;
mod expired;
pub(crate) mod log;
pub(crate) mod receipt;
mod receipt_writer;
mod remove;
pub(crate) mod retention;
