//! Routes for patients and other senders: send a submission, follow it and cancel it.

pub(super) mod cancel;
pub(crate) mod erase;
pub(super) mod events;
pub(crate) mod expectations;
pub(super) mod file;
pub(super) mod my_submissions;
pub(super) mod status;
pub(crate) mod submission_state;
pub(super) mod submit;
