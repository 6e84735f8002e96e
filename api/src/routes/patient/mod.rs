//! Routes for patients and other senders: send a submission, follow it and cancel it.

pub(super) mod cancel;
pub(super) mod events;
pub(super) mod my_submissions;
pub(super) mod status;
pub(super) mod submit;
