//! Lists of submissions: filtered, sorted, paged, with their exact total.
//!
//! Every list is read through an index. Several states are read one by one and merged, because no index returns them in
//! a common order.

pub(crate) mod clinical;
pub(crate) mod filter;
pub(crate) mod full_text;
pub(crate) mod page;
pub(crate) mod query;
