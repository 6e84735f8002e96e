//! What handlers take out of requests: each extractor reads, checks and refuses one part of a request.

pub(crate) mod body;
pub(crate) mod client_info;
pub(crate) mod last_event_id;
pub(crate) mod path_id;
pub(crate) mod query;
pub(crate) mod reason;
pub(crate) mod submission_access;
pub(crate) mod time_format;
