//! `/api/admin`: what staff see of all submissions, and do to them; and the audit.

pub(super) mod audit;
pub(super) mod cancel;
pub(super) mod deletion;
pub(super) mod detail;
pub(super) mod export;
pub(super) mod file;
pub(super) mod history;
pub(super) mod list;
pub(super) mod live;
mod moved;
pub(super) mod resend;
pub(super) mod retry;
pub(super) mod retry_all;
