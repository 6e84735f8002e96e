//! A pool of connections to the mail server.
//!
//! Existing pool crates are unsuitable. They hide why a connection failed, which operators need to see in the ledger.
//! They also reuse a connection after an interrupted command, so the next e-mail would read the wrong reply.

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
use tokio::time::timeout;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Mail servers close idle connections after a few minutes (RFC 5321, section 4.5.3.2).
const MAX_IDLE: Duration = Duration::from_secs(60);
/// Number of e-mails that may wait for each connection. It is small because every waiting e-mail occupies one of the
/// worker's task slots, and a slow mail server must not delay polls.
const WAITERS_PER_CONNECTION: usize = 2;
/// Maximum time to wait for a connection. Sending an e-mail usually takes much less time.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Time limit for checking whether an idle connection is still usable.
const NOOP_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Pool {
    settings: MailSettings,
    tls: Option<TlsParameters>,
    permits: Semaphore,
    waiting: Semaphore,
    max_wait: Duration,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum PoolError {
    #[error("all connections to the mail server are in use")]
    Exhausted,
    #[error(transparent)]
    Connect(#[from] SmtpError),
}

/// A connection from the pool. It is closed when dropped unless [`PooledConnection::release`] is called.
pub(super) struct PooledConnection<'a> {
    pub(super) smtp: AsyncSmtpConnection,
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    pub(super) fn new(settings: MailSettings) -> anyhow::Result<Pool> {
        let tls = match settings.tls {
            SmtpTls::None => None,
            SmtpTls::Implicit | SmtpTls::StartTls => Some(tls_parameters(&settings)?),
        };
        let size = settings.pool_size.max(1) as usize;
        let (permits, waiting) =
            (Semaphore::new(size), Semaphore::new(size * WAITERS_PER_CONNECTION));
        let idle = Mutex::default();
        Ok(Pool { settings, tls, permits, waiting, max_wait: MAX_WAIT, idle })
    }

    /// Returns a connection that is ready for a mail transaction.
    pub(super) async fn get(&self) -> Result<PooledConnection<'_>, PoolError> {
        let permit = self.acquire().await.ok_or(PoolError::Exhausted)?;
        while let Some(mut smtp) = self.take_idle() {
            let reply = timeout(NOOP_TIMEOUT, smtp.command(Noop)).await;
            if matches!(reply, Ok(Ok(_))) {
                return Ok(PooledConnection { smtp, pool: self, _permit: permit });
            }
        }
        Ok(PooledConnection { smtp: self.connect().await?, pool: self, _permit: permit })
    }

    async fn acquire(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Some(permit);
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        timeout(self.max_wait, self.permits.acquire()).await.ok()?.ok()
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < MAX_IDLE);
        idle.pop().map(|(smtp, _)| smtp)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SmtpError> {
        let server = (self.settings.host.as_str(), self.settings.port);
        let hello = ClientId::default();
        let implicit = match self.settings.tls {
            SmtpTls::Implicit => self.tls.clone(),
            SmtpTls::StartTls | SmtpTls::None => None,
        };
        let mut smtp = AsyncSmtpConnection::connect_tokio1(
            server,
            Some(CONNECT_TIMEOUT),
            &hello,
            implicit,
            None,
        )
        .await?;
        if self.settings.tls == SmtpTls::StartTls
            && let Some(tls) = self.tls.clone()
        {
            smtp.starttls(tls, &hello).await?;
        }
        if let Some((user, password)) =
            self.settings.user.as_ref().zip(self.settings.password.as_ref())
        {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            smtp.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        Ok(smtp)
    }
}

impl PooledConnection<'_> {
    /// Returns the connection to the pool. Call this only if no command is in progress.
    pub(super) fn release(self) {
        if !self.smtp.has_broken() {
            let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((self.smtp, Instant::now()));
        }
    }
}

fn tls_parameters(settings: &MailSettings) -> anyhow::Result<TlsParameters> {
    let mut builder = TlsParametersBuilder::new(settings.host.clone());
    if let Some(pem) = &settings.ca_certificate {
        // lettre accepts a file that contains no certificate, so it is checked here.
        anyhow::ensure!(
            CertificateDer::pem_slice_iter(pem).any(|certificate| certificate.is_ok()),
            "SMTP_CA_FILE does not contain a PEM certificate"
        );
        builder = builder.add_root_certificate(Certificate::from_pem(pem)?);
    }
    Ok(builder.build_rustls()?)
}

#[cfg(test)]
mod tests {
    use super::super::settings::{MAX_RESPONSE_TIMEOUT, MailContent};
    use super::*;
    use std::task::Poll;

    fn settings(port: u16, tls: SmtpTls) -> MailSettings {
        MailSettings {
            host: "localhost".to_owned(),
            port,
            user: None,
            password: None,
            tls,
            ca_certificate: Some(b"no certificate".to_vec()),
            from: "no-reply@diagflow.example".parse().expect("an address"),
            pool_size: 1,
            content: MailContent::Full,
            link_hours: 72,
            response_timeout: MAX_RESPONSE_TIMEOUT,
        }
    }

    #[tokio::test]
    async fn the_number_of_waiting_emails_and_their_waiting_time_are_limited() {
        let pool = Pool::new(settings(25, SmtpTls::None)).expect("a pool");
        let in_use = pool.permits.try_acquire().expect("a permit");
        let mut waiting: Vec<_> =
            (0..WAITERS_PER_CONNECTION).map(|_| Box::pin(pool.acquire())).collect();
        for one in &mut waiting {
            assert!(futures::poll!(one).is_pending(), "pending");
        }

        let beyond = futures::poll!(Box::pin(pool.get()));
        assert!(matches!(beyond, Poll::Ready(Err(PoolError::Exhausted))));
        drop(in_use);
        assert!(waiting.remove(0).await.is_some());

        let pool = Pool::new(settings(25, SmtpTls::None)).expect("a pool");
        let impatient = Pool { max_wait: Duration::from_millis(1), ..pool };
        let _in_use = impatient.permits.try_acquire().expect("a permit");
        let waited = timeout(10 * MAX_WAIT, impatient.acquire()).await.expect("a result in time");
        assert!(waited.is_none(), "no permit became free");
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_rejected_at_startup() {
        let refusal = Pool::new(settings(465, SmtpTls::Implicit)).err().expect("refused");
        assert!(refusal.to_string().contains("SMTP_CA_FILE"), "{refusal}");
    }
}
