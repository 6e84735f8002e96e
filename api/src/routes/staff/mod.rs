//! Routes for staff: reads of and actions on all submissions (`/api/admin`), and the audit log.

pub(super) mod all_events;
pub(super) mod audit;
pub(super) mod bulk_retry;
pub(super) mod cancel;
pub(super) mod deletion;
pub(super) mod detail;
pub(super) mod export;
pub(super) mod file;
pub(super) mod history;
pub(super) mod list;
pub(super) mod resend;
mod response;
pub(super) mod retry;
pub(super) mod update;
