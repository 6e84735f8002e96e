//! From a request's body to a submission that is stored: reading (JSON or multipart), one validation for both,
//! and storing. Nothing but [`store`] touches the database.

mod base64;
mod draft;
mod image;
mod json;
mod multipart;
pub(crate) mod receive;
pub(crate) mod store;
mod truncation;
pub(crate) mod upload_memory;
pub(crate) mod valid_submission;
mod validate;
mod validation_errors;
