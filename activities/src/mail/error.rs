//! Errors from sending an e-mail, classified by whether the server may have accepted it.

use diagflow_store::FailureCode;

/// `Display` and the details are for staff and not for logs, because a server's reply may contain the patient's
/// address.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Certainly not accepted, and a retry may succeed: no connection, a 4xx reply, or a connection that broke before
    /// the text was sent.
    #[error("deferred: {detail}")]
    Deferred { code: FailureCode, reply: Option<u16>, detail: String },
    /// Certainly not accepted, and a retry cannot succeed: a 5xx reply, or an address that the server does not support.
    #[error("rejected: {detail}")]
    Rejected { code: FailureCode, reply: Option<u16>, detail: String },
    /// The connection broke after the message data was sent and before the server replied.
    #[error("outcome unknown: {detail}")]
    Unknown { detail: String },
}
