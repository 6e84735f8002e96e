//! From a request's body to a submission that is stored: reading (JSON or multipart), one validation for both,
//! and storing. Nothing but [`keep`] touches the database.

pub(crate) mod accepted;
mod base64;
mod draft;
mod faults;
mod image;
mod image_end;
mod json;
pub(crate) mod keep;
pub(crate) mod memory;
mod multipart;
pub(crate) mod receive;
mod validate;
