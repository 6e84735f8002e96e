//! What can come of handing an e-mail over. The one question that matters is whether the server may
//! have taken it.

use diagflow_store::FailureCode;

/// An e-mail that was not certainly taken. `Display` and the details are for staff: the server's words may
/// hold the patient's address, so they do not belong into a log.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Certainly not taken, and it may go better later: no connection, a 4xx answer, or a
    /// conversation that broke off before the text was handed over.
    #[error("not taken: {detail}")]
    Deferred {
        /// Stable code.
        code: FailureCode,
        /// The server's reply code, where there was a reply.
        reply: Option<u16>,
        /// The server's or the network's words.
        detail: String,
    },
    /// Certainly not taken, for good: a 5xx answer, or a letter that cannot be sent at all.
    #[error("refused: {detail}")]
    Rejected {
        /// Stable code.
        code: FailureCode,
        /// The server's reply code, where there was a reply.
        reply: Option<u16>,
        /// The server's words.
        detail: String,
    },
    /// The conversation broke off after the text was handed over, before the server's answer.
    #[error("perhaps taken: {detail}")]
    Unknown {
        /// The network's words.
        detail: String,
    },
}
