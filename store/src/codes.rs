//! Codes for why a submission, a run or an e-mail failed. They are stored in the database, recorded in Temporal's
//! history and counted in metrics. `docs/runbook.md` describes what to do about each; a test compares the two lists.

use strum::{Display, EnumIter, EnumProperty, IntoStaticStr, VariantNames};

/// `retryable` marks the codes of failed attempts that are retried. The others are final.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, EnumProperty, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum FailureCode {
    /// LoopAI did not finish before the run's deadline.
    DeadlineExceeded,
    Cancelled,
    /// A newer run took over.
    Superseded,
    /// The run closed in Temporal without recording an end.
    RunOrphaned,
    /// LoopAI could not make a diagnosis.
    LoopaiFailed,
    /// LoopAI rejects the request permanently (a 4xx).
    LoopaiRefused,
    /// LoopAI rejects our key (401 or 403).
    LoopaiUnauthorized,
    /// LoopAI does not have the agent or the execution (404 or 410).
    LoopaiNotFound,
    /// LoopAI redirects to another address (3xx).
    LoopaiRedirected,
    LoopaiResponseTooLarge,
    LoopaiNoResult,
    #[strum(props(retryable = true))]
    LoopaiTimeout,
    #[strum(props(retryable = true))]
    LoopaiUnreachable,
    /// LoopAI responded with a 5xx, 408, 409, 423 or 425.
    #[strum(props(retryable = true))]
    LoopaiUnavailable,
    /// LoopAI's rate limit is exceeded (429).
    #[strum(props(retryable = true))]
    LoopaiRateLimited,
    /// LoopAI's response does not follow its contract.
    #[strum(props(retryable = true))]
    LoopaiUnreadable,
    #[strum(props(retryable = true))]
    LoopaiNoFreeSlot,
    #[strum(props(retryable = true))]
    LoopaiHourlyLimit,
    #[strum(props(retryable = true))]
    LoopaiCircuitOpen,
    /// The worker has reached its limit of concurrent requests.
    #[strum(props(retryable = true))]
    WorkerBusy,
    #[strum(props(retryable = true))]
    WorkerShuttingDown,
    #[strum(props(retryable = true))]
    RecordsUnavailable,
    /// A row in the database cannot be read.
    RecordsUnreadable,
    #[strum(props(retryable = true))]
    FileStorageUnavailable,
    /// The end of the run is being recorded by another transaction.
    #[strum(props(retryable = true))]
    EndNotRecorded,
    SubmissionNotFound,
    DeliveryNotFound,
    /// Another attempt is sending the same e-mail.
    #[strum(props(retryable = true))]
    DeliveryInProgress,
    /// The e-mail of a standalone delivery was not accepted.
    MailFailed,
    /// It is unknown whether the e-mail of a standalone delivery was accepted.
    MailUnknown,
    EmailNotRendered,
    /// The submission was deleted before the e-mail was sent.
    SubmissionDeleted,
    /// The database was restored from a backup in which the e-mail was still due.
    Restored,
    /// The process that was sending the e-mail ended before it recorded the outcome.
    SenderLost,
    /// The e-mail was not delivered within four days, and no other reason is known.
    GivenUp,
    /// The mail server rejects the e-mail permanently.
    SmtpRejected,
    /// The mail server does not accept addresses with characters beyond ASCII.
    SmtpNoUtf8,
    /// The mail server did not respond after it received the text.
    SmtpNoResponse,
    /// The mail server rejects the e-mail temporarily (a 4xx reply).
    #[strum(props(retryable = true))]
    SmtpDeferred,
    /// The connection to the mail server broke before the text was sent.
    #[strum(props(retryable = true))]
    SmtpConnectionLost,
    /// The mail server rejects our certificate, password or sender address.
    #[strum(props(retryable = true))]
    SmtpAccessDenied,
    /// The mail server did not respond before the text was sent.
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
