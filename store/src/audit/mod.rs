//! The audit log: its entries, how they are appended and sealed, and how they are searched and verified.

pub(crate) mod entry;
pub(crate) mod log;
pub(crate) mod seal;
pub(crate) mod search;
pub(crate) mod verify;
