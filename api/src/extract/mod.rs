//! Extractors. Each reads and checks one part of a request, and documents its parameters and errors.

pub(crate) mod body;
pub(crate) mod client_info;
pub(crate) mod last_event_id;
pub(crate) mod path_id;
pub(crate) mod query;
pub(crate) mod reason;
pub(crate) mod submission_access;
pub(crate) mod time_format;
