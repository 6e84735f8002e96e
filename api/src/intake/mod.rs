//! Receives submissions: reads the body (JSON or multipart), validates it, and stores the submission. Only [`store`]
//! uses the database.

mod base64;
mod content_disposition;
mod decoding_memory;
mod draft;
mod form_feed;
mod image;
mod json;
mod multipart;
pub(crate) mod photo_checks;
mod photo_slots;
pub(crate) mod receive;
pub(crate) mod store;
pub(crate) mod upload_memory;
pub(crate) mod valid_submission;
mod validate;
mod validation_errors;
