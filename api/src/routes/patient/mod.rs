//! Routes for patients and other senders: send a submission and follow it.

pub(crate) mod events;
pub(super) mod my_submissions;
pub(super) mod status;
pub(super) mod submit;
