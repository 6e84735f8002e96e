//! Routes that let staff view and manage all submissions (`/api/admin`) and read the audit log.

pub(super) mod all_events;
pub(crate) mod audit;
mod bulk;
pub(super) mod bulk_actions;
pub(super) mod cancel;
pub(super) mod deletion;
pub(crate) mod detail;
pub(super) mod erase;
pub(super) mod export;
pub(super) mod file;
pub(crate) mod health;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod overview;
pub(crate) mod pauses;
pub(super) mod resend;
mod response;
pub(super) mod retry;
pub(super) mod reveal;
pub(super) mod revoke_token;
pub(crate) mod settings;
pub(super) mod update;
