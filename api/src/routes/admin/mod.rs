//! `/api/admin`: what staff see of all submissions, and do to them.

pub(super) mod deletion;
pub(super) mod detail;
pub(super) mod export;
pub(super) mod file;
pub(super) mod list;
pub(super) mod live;
