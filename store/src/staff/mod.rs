//! Staff actions on submissions (cancel, retry, resend an e-mail, update, delete and restore), and the operator's
//! command after a database restore.

pub(crate) mod after_restore;
pub(crate) mod bulk;
pub(crate) mod cancel_retry;
pub(crate) mod delete;
pub(crate) mod resend;
pub(crate) mod revoke_token;
pub(crate) mod update;
