//! Staff actions on submissions: cancel, retry, resend an e-mail, update, delete and restore; and the operator's
//! command after the database was restored from a backup.

pub(crate) mod after_restore;
pub(crate) mod bulk_retry;
pub(crate) mod cancel_retry;
pub(crate) mod delete;
pub(crate) mod resend;
pub(crate) mod update;
