//! The SMTP conversation. Done step by step instead of by lettre's transport, because only the step tells
//! whether the server may have taken the mail.

use super::error::SendError;
use super::pool::{Conversation, NoConversation, Pool};
use super::settings::{LONGEST_ANSWER, MailSettings};
use diagflow_workflows::policy::ONE_MAIL;
use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{Extension, MailParameter};
use lettre::transport::smtp::response::Response;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Limit of everything before the text is handed over.
const PREPARATION: Duration = Duration::from_secs(15);
/// What an attempt may need for our own records besides.
const RECORDS: Duration = Duration::from_secs(30);
/// An attempt is never cut off: its outcome is always settled.
const _: () = assert!(
    PREPARATION.as_secs() + LONGEST_ANSWER.as_secs() + RECORDS.as_secs() <= ONE_MAIL.as_secs()
);

/// Hands e-mails to the mail server. Cheap to clone; all clones share one pool of conversations.
#[derive(Clone)]
pub struct SmtpClient {
    pool: Arc<Pool>,
    answer: Duration,
}

/// A conversation in which the server waits for the text. Dropped without the text, it breaks off, and
/// nothing was sent.
pub(super) struct Opened<'a>(Conversation<'a>);

impl SmtpClient {
    /// Makes the client. Connections are opened when first asked for, so the server may be down now.
    ///
    /// # Errors
    /// When the certificate authority cannot be read.
    pub fn new(settings: MailSettings) -> anyhow::Result<SmtpClient> {
        let answer = settings.answer;
        Ok(SmtpClient { pool: Arc::new(Pool::new(settings)?), answer })
    }

    /// How long handing the text over takes at most, with the server's answer to it.
    pub(super) fn answer(&self) -> Duration {
        self.answer
    }

    /// Says everything up to the point where the server waits for the text.
    ///
    /// # Errors
    /// See [`SendError`]; never [`SendError::Unknown`].
    pub(super) async fn open(&self, envelope: &Envelope) -> Result<Opened<'_>, SendError> {
        match timeout(PREPARATION, self.prepare(envelope)).await {
            Ok(conversation) => Ok(Opened(conversation?)),
            Err(_) => Err(SendError::NotTaken {
                code: "smtp_timeout",
                reply: None,
                detail: "no answer before the text".to_owned(),
            }),
        }
    }

    async fn prepare(&self, envelope: &Envelope) -> Result<Conversation<'_>, SendError> {
        let mut conversation = self.pool.get().await.map_err(no_conversation)?;
        let smtp = &mut conversation.smtp;
        if !is_ascii(envelope) && !smtp.server_info().supports_feature(Extension::SmtpUtfEight) {
            // RFC 6531, 3.2: such an address must not be sent to a server that does not offer it.
            let detail = "the mail server takes only ASCII addresses".to_owned();
            conversation.give_back();
            return Err(SendError::Refused { code: "smtp_no_utf8", reply: None, detail });
        }
        if let Err(refused) = address(smtp, envelope).await {
            if smtp.command(Rset).await.is_ok() {
                conversation.give_back();
            }
            return Err(refused);
        }
        Ok(conversation)
    }
}

impl Opened<'_> {
    /// Hands the text over and waits for the answer until `deadline`.
    ///
    /// # Errors
    /// See [`SendError`].
    pub(super) async fn send(mut self, message: &[u8], deadline: Instant) -> Result<(), SendError> {
        let outcome = match timeout_at(deadline, self.0.smtp.message(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.status().is_some() => Err(refusal(&error)),
            Ok(Err(error)) => return Err(SendError::Unknown { detail: error.to_string() }),
            Err(_) => {
                return Err(SendError::Unknown { detail: "no answer to the text".to_owned() });
            }
        };
        self.0.give_back();
        outcome
    }
}

/// Only what is said of the recipient is about this e-mail: a server that refuses our sender, or has no ear
/// for any text, refuses all of them, and will take them once that is mended.
async fn address(
    smtp: &mut AsyncSmtpConnection,
    envelope: &Envelope,
) -> Result<Response, SendError> {
    let mut parameters = vec![];
    if !is_ascii(envelope) {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let sender = Mail::new(envelope.from().cloned(), parameters);
    smtp.command(sender).await.map_err(|error| refusal_of_us(&error))?;
    for recipient in envelope.to() {
        let recipient = Rcpt::new(recipient.clone(), vec![]);
        smtp.command(recipient).await.map_err(|error| refusal(&error))?;
    }
    smtp.command(Data).await.map_err(|error| refusal_of_us(&error))
}

fn is_ascii(envelope: &Envelope) -> bool {
    envelope.to().iter().chain(envelope.from()).all(|address| address.to_string().is_ascii())
}

/// An answer of the server, or a broken conversation, before the text was taken.
fn refusal(error: &SmtpError) -> SendError {
    let (reply, detail) = (reply(error), error.to_string());
    if error.is_permanent() {
        return SendError::Refused { code: "smtp_refused", reply, detail };
    }
    let code = if error.is_transient() { "smtp_try_later" } else { "smtp_broken_off" };
    SendError::NotTaken { code, reply, detail }
}

/// A server that does not let us in: a wrong password, certificate or sender is our fault, not the patient's
/// address, so even a 5xx is tried again.
fn refusal_of_us(error: &SmtpError) -> SendError {
    match refusal(error) {
        SendError::Refused { reply, detail, .. } => {
            SendError::NotTaken { code: "smtp_not_let_in", reply, detail }
        }
        other => other,
    }
}

fn no_conversation(error: NoConversation) -> SendError {
    let detail = error.to_string();
    let (code, reply) = match error {
        NoConversation::AllInUse => ("smtp_all_in_use", None),
        NoConversation::NotOpened(error) if error.status().is_some() => {
            ("smtp_not_let_in", reply(&error))
        }
        NoConversation::NotOpened(_) => ("smtp_unreachable", None),
    };
    SendError::NotTaken { code, reply, detail }
}

fn reply(error: &SmtpError) -> Option<u16> {
    error.status().map(u16::from)
}
