//! What handlers take out of requests: each extractor reads, checks and refuses one part of a request.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod named;
pub(crate) mod origin;
pub(crate) mod query;
pub(crate) mod reason;
pub(crate) mod times;
