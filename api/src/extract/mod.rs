//! Extractors. Each extractor reads and checks one part of a request, and documents its parameters and errors.

pub(crate) mod accepted_language;
pub(crate) mod body;
pub(crate) mod client_info;
pub(crate) mod content_encoding;
pub(crate) mod if_match;
pub(crate) mod if_none_match;
pub(crate) mod json_text;
pub(crate) mod last_event_id;
pub(crate) mod line_breaks;
pub(crate) mod path_id;
pub(crate) mod query;
pub(crate) mod reason;
pub(crate) mod stream_client;
pub(crate) mod submission_access;
pub(crate) mod time_format;
