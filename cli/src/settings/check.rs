//! Checks that concern several settings, and checks for production.

use super::reader::Reader;
use super::{AdminSettings, Environment, Settings};
use diagflow_activities::mail::{MailSettings, SmtpTls};
use diagflow_store::PoolSettings;
use diagflow_workflows::PollSchedule;
use secrecy::{ExposeSecret, SecretString};
use std::net::IpAddr;
use std::time::Duration;
use url::Url;

/// 32 random hexadecimal digits have 128 bits of entropy.
pub(super) const MIN_SECRET_CHARS: usize = 32;
/// The API documentation guarantees this minimum.
const MIN_IDEMPOTENCY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The database's password in `defaults.toml`.
const DEFAULT_PASSWORD: &str = "diagflow";
/// Temporal terminates a run with more than 51,200 events. The difference is reserved for events other than polls.
const MAX_POLL_EVENTS: u64 = 40_000;
/// Explained in docs/adr/0002-history-budget.md.
const EVENTS_PER_POLL: u64 = 6;

pub(super) fn all(reader: &mut Reader, settings: &Settings) {
    check_history_size(reader, &settings.dispatch.schedule);
    if settings.mail.user.is_some() != settings.mail.password.is_some() {
        reader.reject("SMTP_USER", "Set both SMTP_USER and SMTP_PASSWORD, or neither.");
    }
    if settings.environment == Environment::Production {
        check_production(reader, settings);
    }
}

pub(super) fn admin(reader: &mut Reader, settings: &AdminSettings) {
    if settings.environment == Environment::Production {
        check_database(reader, &settings.database);
        check_secret(reader, "AUDIT_KEY", &settings.audit_key);
    }
}

/// A run that polls LoopAI until its deadline must fit into one history.
fn check_history_size(reader: &mut Reader, schedule: &PollSchedule) {
    let max_polls = MAX_POLL_EVENTS / EVENTS_PER_POLL;
    let last = schedule.waits_ms.last().copied().unwrap_or_default();
    if last.saturating_mul(max_polls) < schedule.deadline_ms {
        reader.reject(
            "DIAGNOSIS_POLL_SECONDS",
            format!(
                "Use a longer last delay, or a shorter DIAGNOSIS_DEADLINE_SECONDS: a run can poll \
                 at most {max_polls} times."
            ),
        );
    }
}

fn check_production(reader: &mut Reader, settings: &Settings) {
    let api = &settings.api;
    check_secret(reader, "SECRET_KEY", &api.secret_key);
    check_secret(reader, "JWT_SECRET_KEY", &api.jwt.secret_key);
    check_secret(reader, "AUDIT_KEY", &api.audit_key);
    for key in &api.jwt.previous_keys {
        check_secret(reader, "JWT_PREVIOUS_SECRET_KEYS", key);
    }
    if api.public_url.scheme() != "https" {
        reader.reject("PUBLIC_URL", "Use an https address in production.");
    }
    if api.idempotency_lifetime < MIN_IDEMPOTENCY_LIFETIME {
        reader.reject(
            "IDEMPOTENCY_LIFETIME_SECONDS",
            format!(
                "Use at least {} in production: clients rely on it.",
                MIN_IDEMPOTENCY_LIFETIME.as_secs()
            ),
        );
    }
    if settings.mail.from.email.domain().ends_with(".example") {
        reader.reject("MAIL_FROM", "Set your own address in production: patients reply to it.");
    }
    check_database(reader, &settings.database);
    check_mail(reader, &settings.mail);
}

fn check_database(reader: &mut Reader, settings: &PoolSettings) {
    let url: Option<Url> = settings.url.parse().ok();
    if url.as_ref().and_then(Url::password) == Some(DEFAULT_PASSWORD) {
        reader.reject("DATABASE_URL", "Use a password other than the default in production.");
    }
}

/// E-mails contain diagnoses, so they are sent without encryption only within a private network.
fn check_mail(reader: &mut Reader, settings: &MailSettings) {
    if settings.tls != SmtpTls::None {
        return;
    }
    if settings.password.is_some() {
        reader.reject("SMTP_TLS", "Use starttls or implicit in production with SMTP_PASSWORD.");
    }
    if !is_private_host(&settings.host) {
        reader.reject(
            "SMTP_TLS",
            "Use starttls or implicit in production, unless SMTP_HOST is a name without a dot or a \
             private address.",
        );
    }
}

fn is_private_host(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        // Such a name is resolved by the machine itself or within its container network.
        Err(_) => !host.contains('.'),
    }
}

fn check_secret(reader: &mut Reader, name: &'static str, secret: &SecretString) {
    let secret = secret.expose_secret();
    if secret.starts_with("development-only") || secret.len() < MIN_SECRET_CHARS {
        reader.reject(
            name,
            format!("Use at least {MIN_SECRET_CHARS} random characters in production."),
        );
    }
}
