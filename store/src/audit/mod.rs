//! The audit log: appends, seals, searches and verifies audit entries.

pub(crate) mod entry;
pub(crate) mod log;
pub(crate) mod seal;
pub(crate) mod search;
pub(crate) mod verify;
