//! Receives submissions: reads the body (JSON or multipart), validates it, and stores the submission. Only [`store`]
//! uses the database.

mod base64;
mod content_disposition;
mod decoding_memory;
mod draft;
mod form_feed;
pub(crate) mod form_texts;
mod image;
mod json;
mod multipart;
pub(crate) mod photo_checks;
mod photo_permits;
pub(crate) mod receive;
pub(crate) mod store;
pub(crate) mod submit;
pub(crate) mod upload_memory;
pub(crate) mod valid_submission;
mod validate;
pub(crate) mod validation_errors;
