//! Lists of submissions: filtered, sorted, paged, with their exact total.
//!
//! Every list is read by an index. Several states are read one by one and merged, since one index cannot return
//! them in a common order.

pub(crate) mod clinical;
pub(crate) mod filter;
pub(crate) mod full_text;
pub(crate) mod page;
pub(crate) mod query;
