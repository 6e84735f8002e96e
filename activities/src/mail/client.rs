//! The SMTP client. It sends each command itself instead of using lettre's transport. Which command fails shows whether
//! the server may have accepted the e-mail (`docs/adr/0005-smtp-client-and-delivery-ledger.md`).

use super::error::SendError;
use super::pool::{Pool, PoolError, PooledConnection};
use super::settings::{MAX_RESPONSE_TIMEOUT, MailSettings};
use diagflow_store::FailureCode;
use diagflow_workflows::policy::EMAIL_ATTEMPT_TIMEOUT;
use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{Extension, MailParameter};
use lettre::transport::smtp::response::Response;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Combined time limit for all SMTP commands before the message data.
const PREPARATION_TIMEOUT: Duration = Duration::from_secs(15);
/// Time reserved for database writes in each attempt to send an e-mail.
const WRITE_ALLOWANCE: Duration = Duration::from_secs(30);
/// Ensures that an attempt's outcome is recorded before Temporal times out the attempt.
const _: () = assert!(
    PREPARATION_TIMEOUT.as_secs() + MAX_RESPONSE_TIMEOUT.as_secs() + WRITE_ALLOWANCE.as_secs()
        <= EMAIL_ATTEMPT_TIMEOUT.as_secs()
);

/// A client for the mail server. Cloning is cheap because all clones share one connection pool.
#[derive(Clone)]
pub struct SmtpClient {
    pool: Arc<Pool>,
    response_timeout: Duration,
}

/// A mail transaction in which the server is waiting for the message data. If it is dropped, the connection is closed
/// and no e-mail is sent.
pub(super) struct MailTransaction<'a>(PooledConnection<'a>);

impl SmtpClient {
    /// Creates a client that connects on first use. Fails if the CA certificate is invalid.
    pub fn new(settings: MailSettings) -> anyhow::Result<SmtpClient> {
        let response_timeout = settings.response_timeout;
        Ok(SmtpClient { pool: Arc::new(Pool::new(settings)?), response_timeout })
    }

    /// Returns the time limit for sending the message data and receiving the reply.
    pub(super) fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Sends all commands before the message data. Never returns [`SendError::Unknown`].
    pub(super) async fn begin(
        &self,
        envelope: &Envelope,
    ) -> Result<MailTransaction<'_>, SendError> {
        match timeout(PREPARATION_TIMEOUT, self.prepare(envelope)).await {
            Ok(connection) => Ok(MailTransaction(connection?)),
            Err(_) => Err(SendError::Deferred {
                code: FailureCode::SmtpTimeout,
                reply: None,
                detail: "a command before the message data timed out".to_owned(),
            }),
        }
    }

    async fn prepare(&self, envelope: &Envelope) -> Result<PooledConnection<'_>, SendError> {
        let mut connection = self.pool.get().await.map_err(from_pool_error)?;
        let smtp = &mut connection.smtp;
        if !is_ascii(envelope) && !smtp.server_info().supports_feature(Extension::SmtpUtfEight) {
            // RFC 6531, section 3.2 forbids sending non-ASCII addresses to a server that does not support SMTPUTF8.
            let detail = "the mail server accepts only ASCII addresses".to_owned();
            connection.release();
            return Err(SendError::Rejected { code: FailureCode::SmtpNoUtf8, reply: None, detail });
        }
        if let Err(refused) = send_envelope(smtp, envelope).await {
            if smtp.command(Rset).await.is_ok() {
                connection.release();
            }
            return Err(refused);
        }
        Ok(connection)
    }
}

impl MailTransaction<'_> {
    /// Sends the message data and waits for the reply until `deadline`.
    pub(super) async fn send(mut self, message: &[u8], deadline: Instant) -> Result<(), SendError> {
        let outcome = match timeout_at(deadline, self.0.smtp.message(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.status().is_some() => Err(command_error(&error)),
            Ok(Err(error)) => return Err(SendError::Unknown { detail: error.to_string() }),
            Err(_) => {
                let detail = "the mail server did not reply to the message data".to_owned();
                return Err(SendError::Unknown { detail });
            }
        };
        self.0.release();
        outcome
    }
}

/// Sends `MAIL FROM`, `RCPT TO` and `DATA`. A rejected recipient affects only one e-mail. If the server rejects our
/// sender or `DATA`, it rejects every e-mail until an operator fixes the cause.
async fn send_envelope(
    smtp: &mut AsyncSmtpConnection,
    envelope: &Envelope,
) -> Result<Response, SendError> {
    let mut parameters = vec![];
    if !is_ascii(envelope) {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let sender = Mail::new(envelope.from().cloned(), parameters);
    smtp.command(sender).await.map_err(|error| session_error(&error))?;
    for recipient in envelope.to() {
        let recipient = Rcpt::new(recipient.clone(), vec![]);
        smtp.command(recipient).await.map_err(|error| command_error(&error))?;
    }
    smtp.command(Data).await.map_err(|error| session_error(&error))
}

fn is_ascii(envelope: &Envelope) -> bool {
    envelope.to().iter().chain(envelope.from()).all(|address| address.to_string().is_ascii())
}

/// Converts the error returned by an SMTP command that was rejected or whose connection was lost.
fn command_error(error: &SmtpError) -> SendError {
    let (reply, detail) = (reply_code(error), error.to_string());
    if error.is_permanent() {
        return SendError::Rejected { code: FailureCode::SmtpRejected, reply, detail };
    }
    let code = if error.is_transient() {
        FailureCode::SmtpDeferred
    } else {
        FailureCode::SmtpConnectionLost
    };
    SendError::Deferred { code, reply, detail }
}

/// Converts the error returned by a command unrelated to the patient's address. A 5xx reply means that our password,
/// certificate or sender is wrong, so the e-mail is retried.
fn session_error(error: &SmtpError) -> SendError {
    match command_error(error) {
        SendError::Rejected { reply, detail, .. } => {
            SendError::Deferred { code: FailureCode::SmtpAccessDenied, reply, detail }
        }
        other => other,
    }
}

fn from_pool_error(error: PoolError) -> SendError {
    let detail = error.to_string();
    let (code, reply) = match error {
        PoolError::Exhausted => (FailureCode::SmtpPoolExhausted, None),
        PoolError::Connect(error) if error.status().is_some() => {
            (FailureCode::SmtpAccessDenied, reply_code(&error))
        }
        PoolError::Connect(_) => (FailureCode::SmtpUnreachable, None),
    };
    SendError::Deferred { code, reply, detail }
}

fn reply_code(error: &SmtpError) -> Option<u16> {
    error.status().map(u16::from)
}
