//! Why a submission, a run or an e-mail failed: stored with it, recorded in Temporal's history, counted in
//! metrics. `docs/runbook.md` says what to do about each; a test compares the two.

use strum::{Display, EnumIter, IntoStaticStr};

/// A stable failure code, written in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FailureCode {
    /// LoopAI did not finish before the run's deadline.
    DeadlineExceeded,
    /// Staff or an operator cancelled the run.
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
    /// LoopAI does not know the agent or the execution (404 or 410).
    LoopaiNotFound,
    /// LoopAI's address has moved (3xx).
    LoopaiRedirected,
    /// LoopAI's response is larger than allowed.
    LoopaiResponseTooLarge,
    /// LoopAI reports success without a result.
    LoopaiNoResult,
    /// LoopAI did not respond in time.
    LoopaiTimeout,
    /// No connection to LoopAI.
    LoopaiUnreachable,
    /// LoopAI answered with a 5xx, 408, 409, 423 or 425.
    LoopaiUnavailable,
    /// LoopAI asks us to slow down (429).
    LoopaiRateLimited,
    /// LoopAI's response does not follow its contract.
    LoopaiUnreadable,
    /// All slots at LoopAI are taken.
    LoopaiNoFreeSlot,
    /// The hourly limit of executions at LoopAI is reached.
    LoopaiHourlyLimit,
    /// The circuit breaker is open.
    LoopaiCircuitOpen,
    /// The worker has as many requests in progress as it allows.
    WorkerBusy,
    /// The worker is stopping.
    WorkerShuttingDown,
    /// The database does not respond.
    RecordsUnavailable,
    /// A row in the database cannot be read.
    RecordsUnreadable,
    /// The file storage does not respond.
    FileStorageUnavailable,
    /// The end of the run is being recorded by another transaction.
    EndNotRecorded,
    /// The database does not have the submission.
    SubmissionNotFound,
    /// The database does not have the e-mail.
    DeliveryNotFound,
    /// Another attempt is sending the same e-mail.
    DeliveryInProgress,
    /// An e-mail outside a run was not accepted.
    MailFailed,
    /// It is unknown whether an e-mail outside a run was accepted.
    MailUnknown,
    /// The e-mail could not be rendered.
    EmailNotRendered,
    /// The submission was deleted before the e-mail was sent.
    SubmissionDeleted,
    /// The database was restored to a moment at which the e-mail was due.
    Restored,
    /// The process that was sending the e-mail ended before it recorded the outcome.
    SenderLost,
    /// The e-mail was not delivered in four days, and no other reason is known.
    GivenUp,
    /// The mail server rejects the e-mail permanently.
    SmtpRejected,
    /// The mail server does not accept addresses with characters beyond ASCII.
    SmtpNoUtf8,
    /// The mail server did not respond after it received the text.
    SmtpNoResponse,
    /// The mail server asks to try again later (a 4xx reply).
    SmtpDeferred,
    /// The connection to the mail server broke before the text was sent.
    SmtpConnectionLost,
    /// The mail server rejects our certificate, password or sender address.
    SmtpAccessDenied,
    /// The mail server did not respond before the text was sent.
    SmtpTimeout,
    /// No connection to the mail server.
    SmtpUnreachable,
    /// All connections to the mail server are in use.
    SmtpPoolExhausted,
}

impl FailureCode {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the failed attempt is repeated; the other codes are final.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::LoopaiTimeout
                | Self::LoopaiUnreachable
                | Self::LoopaiUnavailable
                | Self::LoopaiRateLimited
                | Self::LoopaiUnreadable
                | Self::LoopaiNoFreeSlot
                | Self::LoopaiHourlyLimit
                | Self::LoopaiCircuitOpen
                | Self::WorkerBusy
                | Self::WorkerShuttingDown
                | Self::RecordsUnavailable
                | Self::FileStorageUnavailable
                | Self::EndNotRecorded
                | Self::DeliveryInProgress
                | Self::SmtpDeferred
                | Self::SmtpConnectionLost
                | Self::SmtpAccessDenied
                | Self::SmtpTimeout
                | Self::SmtpUnreachable
                | Self::SmtpPoolExhausted
        )
    }
}
