//! The SMTP conversation. Done step by step instead of by lettre's transport, because only the step tells
//! whether the server may have taken the mail.

use super::error::SendError;
use super::pool::{Conversation, Pool};
use super::settings::MailSettings;
use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{Extension, MailParameter};
use lettre::transport::smtp::response::Response;
use std::sync::Arc;
use std::time::Duration;

/// Limit of everything before the text is handed over, and of the answer to it: together below the
/// activity's own limit (`workflows::policy`), so that the outcome is always settled.
const PREPARATION: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(10);

/// Hands e-mails to the mail server. Cheap to clone; all clones share one pool of conversations.
#[derive(Clone)]
pub struct SmtpClient {
    pool: Arc<Pool>,
}

impl SmtpClient {
    /// Makes the client. Connections are opened when first asked for, so the server may be down now.
    ///
    /// # Errors
    /// When the certificate authority cannot be read.
    pub fn new(settings: MailSettings) -> anyhow::Result<SmtpClient> {
        Ok(SmtpClient { pool: Arc::new(Pool::new(settings)?) })
    }

    /// Hands one e-mail over.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, envelope: &Envelope, message: &[u8]) -> Result<(), SendError> {
        let prepared = tokio::time::timeout(PREPARATION, self.prepare(envelope)).await;
        let mut conversation = match prepared {
            Ok(conversation) => conversation?,
            Err(_) => return Err(not_taken("smtp_timeout", "no answer before the text")),
        };
        let answer = tokio::time::timeout(ANSWER, conversation.smtp.message(message)).await;
        let outcome = match answer {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.status().is_some() => Err(refusal(&error)),
            Ok(Err(error)) => return Err(SendError::Unknown { detail: error.to_string() }),
            Err(_) => {
                return Err(SendError::Unknown { detail: "no answer to the text".to_owned() });
            }
        };
        conversation.give_back();
        outcome
    }

    /// Everything up to the point where the server waits for the text.
    async fn prepare(&self, envelope: &Envelope) -> Result<Conversation<'_>, SendError> {
        let mut conversation = self.pool.get().await.map_err(|error| connection_refusal(&error))?;
        let smtp = &mut conversation.smtp;
        if !is_ascii(envelope) && !smtp.server_info().supports_feature(Extension::SmtpUtfEight) {
            // RFC 6531, 3.2: such an address must not be sent to a server that does not offer it.
            let detail = "the mail server takes only ASCII addresses".to_owned();
            conversation.give_back();
            return Err(SendError::Refused { code: "smtp_no_utf8", detail });
        }
        if let Err(error) = address(smtp, envelope).await {
            if smtp.command(Rset).await.is_ok() {
                conversation.give_back();
            }
            return Err(refusal(&error));
        }
        Ok(conversation)
    }
}

async fn address(
    smtp: &mut AsyncSmtpConnection,
    envelope: &Envelope,
) -> Result<Response, SmtpError> {
    let mut parameters = vec![];
    if !is_ascii(envelope) {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    smtp.command(Mail::new(envelope.from().cloned(), parameters)).await?;
    for recipient in envelope.to() {
        smtp.command(Rcpt::new(recipient.clone(), vec![])).await?;
    }
    smtp.command(Data).await
}

fn is_ascii(envelope: &Envelope) -> bool {
    envelope.to().iter().chain(envelope.from()).all(|address| address.to_string().is_ascii())
}

/// An answer of the server, or a broken conversation, before the text was taken.
fn refusal(error: &SmtpError) -> SendError {
    if error.is_permanent() {
        return SendError::Refused { code: "smtp_refused", detail: error.to_string() };
    }
    let code = if error.is_transient() { "smtp_try_later" } else { "smtp_broken_off" };
    not_taken(code, &error.to_string())
}

/// A server that does not let us in: a wrong password or certificate is our fault, not the patient's
/// address, so even a 5xx is tried again.
fn connection_refusal(error: &SmtpError) -> SendError {
    let code = if error.status().is_some() { "smtp_not_let_in" } else { "smtp_unreachable" };
    not_taken(code, &error.to_string())
}

fn not_taken(code: &'static str, detail: &str) -> SendError {
    SendError::NotTaken { code, detail: detail.to_owned() }
}
