//! What lists of submissions can be asked for, and how they are told; shared by staff's list, everybody's
//! own list and the export.

pub(crate) mod cursor;
pub(crate) mod export_format;
pub(crate) mod filter;
pub(crate) mod page;
