//! Lists of submissions: filtered, sorted, a page at a time, with their exact number.
//!
//! Every list is read by an index, whatever is asked for. Where several states are asked for, each is read
//! by itself and the lists are merged: one index cannot give them in one order.

pub(crate) mod clinical;
pub(crate) mod filter;
pub(crate) mod full_text;
pub(crate) mod page;
pub(crate) mod query;
