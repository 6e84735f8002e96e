//! The SMTP conversation, on pooled connections. Done step by step instead of by lettre's transport,
//! because only the step tells whether the server may have taken the mail.

use super::error::SendError;
use super::settings::{MailSettings, SmtpTls};
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::Response;
use lettre::transport::smtp::{Error as SmtpError, commands::Rset};
use secrecy::ExposeSecret;
use std::time::Duration;

/// Limit of one step of the conversation.
const STEP: Duration = Duration::from_secs(10);
/// Limit of everything before the text is handed over, and of the answer to it: together below the
/// activity's own limit (`workflows::policy`), so that the outcome is always settled.
const PREPARATION: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(10);

/// Hands e-mails to the mail server. Cheap to clone; all clones share one pool of connections.
#[derive(Clone)]
pub struct SmtpClient {
    pool: bb8::Pool<Connector>,
}

struct Connector {
    settings: MailSettings,
    tls: Option<TlsParameters>,
}

impl SmtpClient {
    /// Makes the client. Connections are opened when first asked for, so the server may be down now.
    ///
    /// # Errors
    /// When the certificate authority cannot be read.
    pub async fn new(settings: MailSettings) -> anyhow::Result<SmtpClient> {
        let tls = match settings.tls {
            SmtpTls::None => None,
            SmtpTls::Implicit | SmtpTls::StartTls => Some(tls_parameters(&settings)?),
        };
        let pool = bb8::Pool::builder()
            .max_size(settings.pool_size)
            .connection_timeout(STEP)
            // Servers end idle conversations after minutes (RFC 5321, 4.5.3.2); end them before.
            .idle_timeout(Duration::from_secs(60))
            .test_on_check_out(true)
            .retry_connection(false)
            .build(Connector { settings, tls })
            .await?;
        Ok(SmtpClient { pool })
    }

    /// Hands one e-mail over.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, envelope: &Envelope, message: &[u8]) -> Result<(), SendError> {
        let prepared = tokio::time::timeout(PREPARATION, self.prepare(envelope)).await;
        let mut connection = match prepared {
            Ok(connection) => connection?,
            Err(_) => return Err(not_taken("smtp_timeout", "no answer before the text")),
        };
        match tokio::time::timeout(ANSWER, connection.message(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.status().is_some() => Err(refusal(&error)),
            Ok(Err(error)) => {
                connection.abort().await;
                Err(SendError::Unknown { detail: error.to_string() })
            }
            Err(_) => {
                connection.abort().await;
                Err(SendError::Unknown { detail: "no answer to the text".to_owned() })
            }
        }
    }

    /// Everything up to the point where the server waits for the text.
    async fn prepare(
        &self,
        envelope: &Envelope,
    ) -> Result<bb8::PooledConnection<'_, Connector>, SendError> {
        let mut connection = self.pool.get().await.map_err(|error| match error {
            bb8::RunError::User(error) => connection_refusal(&error),
            bb8::RunError::TimedOut => not_taken("smtp_unreachable", "no connection in time"),
        })?;
        if !is_ascii(envelope)
            && !connection.server_info().supports_feature(Extension::SmtpUtfEight)
        {
            // RFC 6531, 3.2: such an address must not be sent to a server that does not offer it.
            let detail = "the mail server takes only ASCII addresses".to_owned();
            return Err(SendError::Refused { code: "smtp_no_utf8", detail });
        }
        if let Err(error) = address(&mut connection, envelope).await {
            let refusal = refusal(&error);
            // The next letter starts afresh, on this connection or another.
            if connection.command(Rset).await.is_err() {
                connection.abort().await;
            }
            return Err(refusal);
        }
        Ok(connection)
    }
}

async fn address(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
) -> Result<Response, SmtpError> {
    let mut parameters = vec![];
    if !is_ascii(envelope) {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    connection.command(Mail::new(envelope.from().cloned(), parameters)).await?;
    for recipient in envelope.to() {
        connection.command(Rcpt::new(recipient.clone(), vec![])).await?;
    }
    connection.command(Data).await
}

fn is_ascii(envelope: &Envelope) -> bool {
    envelope.to().iter().chain(envelope.from()).all(|address| address.to_string().is_ascii())
}

fn tls_parameters(settings: &MailSettings) -> anyhow::Result<TlsParameters> {
    let mut builder = TlsParametersBuilder::new(settings.host.clone());
    if let Some(pem) = &settings.authority {
        builder = builder.add_root_certificate(Certificate::from_pem(pem)?);
    }
    Ok(builder.build_rustls()?)
}

impl bb8::ManageConnection for Connector {
    type Connection = AsyncSmtpConnection;
    type Error = SmtpError;

    async fn connect(&self) -> Result<AsyncSmtpConnection, SmtpError> {
        let server = (self.settings.host.as_str(), self.settings.port);
        let hello = ClientId::default();
        let implicit = match self.settings.tls {
            SmtpTls::Implicit => self.tls.clone(),
            SmtpTls::StartTls | SmtpTls::None => None,
        };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(STEP), &hello, implicit, None).await?;
        if self.settings.tls == SmtpTls::StartTls
            && let Some(tls) = self.tls.clone()
        {
            connection.starttls(tls, &hello).await?;
        }
        if let Some((user, password)) = &self.settings.credentials {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        Ok(connection)
    }

    async fn is_valid(&self, connection: &mut AsyncSmtpConnection) -> Result<(), SmtpError> {
        connection.command(lettre::transport::smtp::commands::Noop).await.map(|_| ())
    }

    fn has_broken(&self, connection: &mut AsyncSmtpConnection) -> bool {
        connection.has_broken()
    }
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
