//! What staff do to submissions: cancel, retry, resend an e-mail, delete and restore; and what an operator settles
//! after the database was restored from a backup.

pub(crate) mod after_restore;
pub(crate) mod bulk_retry;
pub(crate) mod cancel_retry;
pub(crate) mod delete;
pub(crate) mod resend;
