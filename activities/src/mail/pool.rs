//! Conversations with the mail server, kept open for the next e-mail.
//!
//! Not by a pool crate: those hide why a connection failed, which operators must read in the ledger, and
//! take back a conversation whose user was stopped in the middle of a command; the next e-mail would then
//! read the answers to that one.

use super::settings::{MailSettings, SmtpTls};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::Noop;
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Limit of connecting by TCP.
const CONNECT: Duration = Duration::from_secs(10);
/// Servers end idle conversations after minutes (RFC 5321, 4.5.3.2); end them before.
const IDLE: Duration = Duration::from_secs(60);
/// An idle conversation that does not answer by then is given up.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// Opens conversations, a bounded number at once, and keeps those that are given back.
pub(super) struct Pool {
    settings: MailSettings,
    tls: Option<TlsParameters>,
    seats: Semaphore,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

/// A conversation to be used. It is closed unless it is given back.
pub(super) struct Conversation<'a> {
    pub(super) smtp: AsyncSmtpConnection,
    pool: &'a Pool,
    _seat: SemaphorePermit<'a>,
}

impl Pool {
    /// # Errors
    /// When the certificate authority cannot be read.
    pub(super) fn new(settings: MailSettings) -> anyhow::Result<Pool> {
        let tls = match settings.tls {
            SmtpTls::None => None,
            SmtpTls::Implicit | SmtpTls::StartTls => Some(tls_parameters(&settings)?),
        };
        let seats = Semaphore::new(settings.pool_size.max(1) as usize);
        Ok(Pool { settings, tls, seats, idle: Mutex::default() })
    }

    /// A conversation at the point where an e-mail can begin.
    ///
    /// # Errors
    /// When the server cannot be reached or does not let us in.
    pub(super) async fn get(&self) -> Result<Conversation<'_>, SmtpError> {
        let seat = self.seats.acquire().await.expect("the semaphore is never closed");
        while let Some(mut smtp) = self.take_idle() {
            let answer = tokio::time::timeout(SIGN_OF_LIFE, smtp.command(Noop)).await;
            if matches!(answer, Ok(Ok(_))) {
                return Ok(Conversation { smtp, pool: self, _seat: seat });
            }
        }
        Ok(Conversation { smtp: self.connect().await?, pool: self, _seat: seat })
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        idle.pop().map(|(smtp, _)| smtp)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SmtpError> {
        let server = (self.settings.host.as_str(), self.settings.port);
        let hello = ClientId::default();
        let implicit = match self.settings.tls {
            SmtpTls::Implicit => self.tls.clone(),
            SmtpTls::StartTls | SmtpTls::None => None,
        };
        let mut smtp =
            AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT), &hello, implicit, None)
                .await?;
        if self.settings.tls == SmtpTls::StartTls
            && let Some(tls) = self.tls.clone()
        {
            smtp.starttls(tls, &hello).await?;
        }
        if let Some((user, password)) = &self.settings.credentials {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            smtp.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        Ok(smtp)
    }
}

impl Conversation<'_> {
    /// Keeps it for the next e-mail. Only for one in which nothing is under way.
    pub(super) fn give_back(self) {
        if !self.smtp.has_broken() {
            let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((self.smtp, Instant::now()));
        }
    }
}

fn tls_parameters(settings: &MailSettings) -> anyhow::Result<TlsParameters> {
    let mut builder = TlsParametersBuilder::new(settings.host.clone());
    if let Some(pem) = &settings.authority {
        // lettre takes a file without any certificate for one that adds none.
        anyhow::ensure!(
            CertificateDer::pem_slice_iter(pem).any(|certificate| certificate.is_ok()),
            "SMTP_CA_FILE holds no certificate in PEM form"
        );
        builder = builder.add_root_certificate(Certificate::from_pem(pem)?);
    }
    Ok(builder.build_rustls()?)
}

#[cfg(test)]
mod tests {
    use super::super::settings::LONGEST_ANSWER;
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused_at_the_start() {
        let settings = MailSettings {
            host: "localhost".to_owned(),
            port: 465,
            credentials: None,
            tls: SmtpTls::Implicit,
            authority: Some(b"no certificate".to_vec()),
            from: "no-reply@diagflow.example".parse().expect("an address"),
            pool_size: 1,
            answer: LONGEST_ANSWER,
        };
        let refusal = Pool::new(settings).err().expect("refused");
        assert!(refusal.to_string().contains("SMTP_CA_FILE"), "{refusal}");
    }
}
