//! Filters, pagination and export formats for submissions, shared by the staff list, the caller's own list, exports and
//! bulk actions.

mod cursor;
pub(crate) mod export_format;
pub(crate) mod filter;
pub(crate) mod page;
