//! What staff do to submissions: cancel, retry, resend an e-mail, delete and restore; and what an operator settles
//! after a restore of the database.

pub(crate) mod after_restore;
pub(crate) mod bulk_retry;
pub(crate) mod cancel_retry;
pub(crate) mod delete;
pub(crate) mod resend;
