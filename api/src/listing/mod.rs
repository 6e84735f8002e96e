//! What lists of submissions can be asked for, and how they are told; shared by staff's list, everybody's
//! own list and the export.

pub(crate) mod asked;
pub(crate) mod cursor;
pub(crate) mod format;
pub(crate) mod page;
