//! Database access. No code in this module depends on submissions.

pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod email_address;
pub(crate) mod error;
pub(crate) mod expired_rows;
pub(crate) mod failpoint;
pub(crate) mod ids;
pub(crate) mod limits;
pub(crate) mod migrations;
pub(crate) mod pool;
pub(crate) mod readiness;
pub(crate) mod schema;
pub(crate) mod server_error;
pub(crate) mod sql_text;
pub(crate) mod typed_text;
pub(crate) mod utc_time;
