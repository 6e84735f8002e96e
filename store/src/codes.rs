//! Failure codes for submissions, runs and e-mails. They are stored in the database, recorded in Temporal's history and
//! counted in metrics. `docs/runbook.md` explains how to respond to each code.

use strum::{Display, EnumIter, EnumProperty, IntoStaticStr, VariantNames};

/// Failures are retried if their code is marked `retryable`. All other failures are final.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, EnumProperty, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum FailureCode {
    DeadlineExceeded,
    Cancelled,
    /// A newer run has taken over.
    Superseded,
    /// The run closed in Temporal without recording its outcome.
    RunOrphaned,
    LoopaiFailed,
    /// LoopAI permanently rejected the request (4xx).
    LoopaiRefused,
    /// LoopAI rejected the API key (401 or 403).
    LoopaiUnauthorized,
    /// The agent or execution does not exist at LoopAI (404 or 410).
    LoopaiNotFound,
    /// LoopAI redirected the request to another address (3xx).
    LoopaiRedirected,
    LoopaiResponseTooLarge,
    LoopaiNoResult,
    /// LoopAI's response does not match its documented format.
    LoopaiUnreadable,
    /// LoopAI repeatedly failed for this submission while accepting others.
    LoopaiRepeatedFailure,
    #[strum(props(retryable = true))]
    LoopaiTimeout,
    #[strum(props(retryable = true))]
    LoopaiUnreachable,
    /// LoopAI responded with 5xx, 408, 409, 423 or 425.
    #[strum(props(retryable = true))]
    LoopaiUnavailable,
    /// LoopAI's rate limit was exceeded (429).
    #[strum(props(retryable = true))]
    LoopaiRateLimited,
    #[strum(props(retryable = true))]
    LoopaiNoFreeSlot,
    #[strum(props(retryable = true))]
    LoopaiHourlyLimit,
    #[strum(props(retryable = true))]
    LoopaiCircuitOpen,
    /// Staff have paused requests to LoopAI.
    #[strum(props(retryable = true))]
    LoopaiPaused,
    /// Staff have paused e-mails.
    #[strum(props(retryable = true))]
    EmailsPaused,
    /// The worker has reached its concurrent request limit.
    #[strum(props(retryable = true))]
    WorkerBusy,
    #[strum(props(retryable = true))]
    WorkerShuttingDown,
    #[strum(props(retryable = true))]
    RecordsUnavailable,
    RecordsUnreadable,
    /// The data is larger than the database server accepts.
    RecordsTooLarge,
    /// The data violates a constraint of the database schema.
    RecordsRejected,
    #[strum(props(retryable = true))]
    FileStorageUnavailable,
    /// Another transaction is already recording the run's outcome.
    #[strum(props(retryable = true))]
    EndNotRecorded,
    /// The run cannot read the result of its request because an operator or a newer worker completed the activity.
    ResultUnreadable,
    SubmissionNotFound,
    DeliveryNotFound,
    #[strum(props(retryable = true))]
    DeliveryInProgress,
    /// The mail server did not accept the e-mail of a standalone delivery.
    MailFailed,
    /// It is unknown whether the mail server accepted the e-mail of a standalone delivery.
    MailUnknown,
    EmailNotRendered,
    /// An earlier version stored an address to which no e-mail can be sent.
    EmailAddressInvalid,
    SubmissionDeleted,
    /// The database was restored from a backup in which the e-mail was still pending.
    Restored,
    /// The process sending the e-mail died before it could record the outcome.
    SenderLost,
    /// The e-mail could not be sent within four days, and no more specific reason is known.
    GivenUp,
    SmtpRejected,
    /// The mail server does not accept addresses with non-ASCII characters.
    SmtpNoUtf8,
    /// The mail server did not respond after receiving the message text.
    SmtpNoResponse,
    /// The mail server temporarily rejected the e-mail (4xx reply).
    #[strum(props(retryable = true))]
    SmtpDeferred,
    /// The connection to the mail server was lost before the message text was sent.
    #[strum(props(retryable = true))]
    SmtpConnectionLost,
    /// The mail server rejected Diagflow's certificate, password or sender address.
    #[strum(props(retryable = true))]
    SmtpAccessDenied,
    /// A request to the mail server timed out before the message text was sent.
    #[strum(props(retryable = true))]
    SmtpTimeout,
    #[strum(props(retryable = true))]
    SmtpUnreachable,
    #[strum(props(retryable = true))]
    SmtpPoolExhausted,
}

impl FailureCode {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    pub fn is_retryable(self) -> bool {
        self.get_bool("retryable") == Some(true)
    }
}
