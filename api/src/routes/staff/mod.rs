//! Routes that let staff view and manage all submissions (`/api/admin`) and read the audit log.

pub(super) mod all_events;
pub(super) mod audit;
mod bulk;
pub(super) mod bulk_resend;
pub(super) mod bulk_retry;
pub(super) mod cancel;
pub(super) mod deletion;
pub(super) mod detail;
pub(super) mod erase;
pub(super) mod export;
pub(super) mod file;
pub(super) mod history;
pub(super) mod list;
pub(super) mod resend;
mod response;
pub(super) mod retry;
pub(super) mod revoke_token;
pub(super) mod update;
