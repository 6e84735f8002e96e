//! Errors that occur when sending an e-mail, classified by whether the server may have accepted it.

use diagflow_store::FailureCode;

/// An error that occurred when sending an e-mail. Staff can see the details, but logs must omit them because the
/// server's reply may contain the patient's address.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The server did not accept the e-mail, but a retry may succeed: the connection could not be opened, the reply was
    /// 4xx, or the connection was lost before the message data was sent.
    #[error("deferred: {detail}")]
    Deferred { code: FailureCode, reply: Option<u16>, detail: String },
    /// The server did not accept the e-mail, and a retry cannot succeed: the reply was 5xx, or the server does not
    /// support the address.
    #[error("rejected: {detail}")]
    Rejected { code: FailureCode, reply: Option<u16>, detail: String },
    /// The server may have accepted the e-mail: it was sent message data, but no reply arrived.
    #[error("outcome unknown: {detail}")]
    Unknown { detail: String },
}
