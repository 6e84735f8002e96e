//! What production refuses and development may do.

use super::reader::Reader;
use super::{DatabaseSettings, Settings};
use diagflow_activities::mail::{MailSettings, SmtpTls};
use secrecy::{ExposeSecret, SecretString};
use std::net::IpAddr;
use std::time::Duration;
use url::Url;

/// Shortest secret: 256 bits, if it is random text.
pub(super) const MIN_SECRET_CHARS: usize = 32;
/// How long clients may rely on an Idempotency-Key (`/docs` promises it).
const MIN_IDEMPOTENCY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The database's password in development, as `defaults.toml` has it.
const DEFAULT_PASSWORD: &str = "diagflow";

/// Whether it is production; `None` after a fault.
pub(super) fn is_production(reader: &mut Reader) -> Option<bool> {
    reader.read("DIAGFLOW_ENV", "development or production", |text| match text {
        "development" => Some(false),
        "production" => Some(true),
        _ => None,
    })
}

/// Notes what development may do and production may not.
pub(super) fn check(reader: &mut Reader, settings: &Settings) {
    let api = &settings.api;
    let current = [
        ("SECRET_KEY", &api.secret_key),
        ("JWT_SECRET_KEY", &api.jwt.secret_key),
        ("AUDIT_KEY", &api.audit_key),
    ];
    let previous = api.jwt.previous_keys.iter().map(|key| ("JWT_PREVIOUS_SECRET_KEYS", key));
    for (name, secret) in current.into_iter().chain(previous) {
        check_secret(reader, name, secret);
    }
    if settings.api.public_url.scheme() != "https" {
        reader.fault("PUBLIC_URL must begin with https in production".to_owned());
    }
    if settings.api.idempotency_lifetime < MIN_IDEMPOTENCY_LIFETIME {
        reader.fault(format!(
            "IDEMPOTENCY_LIFETIME_SECONDS must be at least {} in production: clients rely on it",
            MIN_IDEMPOTENCY_LIFETIME.as_secs()
        ));
    }
    if settings.mail.from.email.domain().ends_with(".example") {
        reader.fault(
            "MAIL_FROM must be set in production: patients are asked to answer to it".to_owned(),
        );
    }
    check_database(reader, &settings.database);
    check_mail(reader, &settings.mail);
}

/// Notes the password that everybody knows.
pub(super) fn check_database(reader: &mut Reader, settings: &DatabaseSettings) {
    let url: Option<Url> = settings.url.expose_secret().parse().ok();
    if url.as_ref().and_then(Url::password) == Some(DEFAULT_PASSWORD) {
        reader.fault(format!(
            "DATABASE_URL must have another password than {DEFAULT_PASSWORD:?} in production"
        ));
    }
}

/// E-mails tell diagnoses: in the clear they may travel only where nobody else listens.
fn check_mail(reader: &mut Reader, settings: &MailSettings) {
    if settings.tls != SmtpTls::None {
        return;
    }
    if settings.credentials.is_some() {
        reader.fault("SMTP_TLS must not be none in production when a password is sent".to_owned());
    }
    if !is_private_host(&settings.host) {
        reader.fault(
            "SMTP_TLS must not be none in production, but for a mail server of this machine or of a \
             private network (a name without a dot, or a private address)"
                .to_owned(),
        );
    }
}

fn is_private_host(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        // Resolved by the machine itself, or by the network of its containers.
        Err(_) => !host.contains('.'),
    }
}

/// Notes a secret that is known or can be guessed.
pub(super) fn check_secret(reader: &mut Reader, name: &str, secret: &SecretString) {
    let secret = secret.expose_secret();
    if secret.starts_with("development-only") || secret.len() < MIN_SECRET_CHARS {
        reader.fault(format!(
            "{name} must be set to at least {MIN_SECRET_CHARS} random characters in production"
        ));
    }
}
