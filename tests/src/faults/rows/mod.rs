//! The faults, by where they strike.

pub(super) mod starting;
pub(super) mod submitting;
pub(super) mod worker;
