//! Filters, pages and export formats of submissions, for the staff list, the caller's own list, exports and bulk
//! retries.

mod cursor;
pub(crate) mod export_format;
pub(crate) mod filter;
pub(crate) mod page;
