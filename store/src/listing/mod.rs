//! Filtered, sorted and paginated lists of submissions, with exact totals.
//!
//! Every list is read through an index. If a filter has several states, each state is read separately and the lists are
//! merged because no index returns several states in a single order.

pub(crate) mod clinical;
pub(crate) mod filter;
pub(crate) mod full_text;
pub(crate) mod page;
pub(crate) mod query;
