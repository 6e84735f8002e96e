//! From a request's body to a submission that was checked: reading (JSON or multipart), then one
//! validation for both. Nothing here touches the database.

mod accepted;
mod base64;
mod draft;
mod faults;
mod image;
mod image_end;
mod json;
mod memory;
mod multipart;
mod receive;
mod validate;

pub(crate) use accepted::{Accepted, AcceptedImage};
pub(crate) use faults::Fault;
pub(crate) use memory::Memory;
pub(crate) use receive::receive;
