//! What patients and other senders do: send a submission, and follow it.

pub(crate) mod events;
pub(super) mod my_submissions;
pub(super) mod status;
pub(super) mod submit;
