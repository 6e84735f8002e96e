//! Checks that apply only in production. Each process checks the settings it uses.

use super::entropy;
use super::reader::Reader;
use super::{AdminSettings, Role, Settings};
use diagflow_activities::loopai::LoopAiSettings;
use diagflow_activities::mail::{MailSettings, SmtpTls};
use diagflow_api::ApiSettings;
use diagflow_store::{Keyring, PoolSettings};
use secrecy::{ExposeSecret, SecretString};
use std::net::IpAddr;
use std::time::Duration;
use url::Url;

/// The entropy of 32 random hexadecimal digits.
const MIN_SECRET_CHARS: usize = 32;
pub(super) const MIN_SECRET_BITS: f64 = 128.0;
/// The entropy of 16 random hexadecimal digits. Other systems issue shorter passwords than the secrets that Diagflow's
/// operator chooses. For example, many mail servers issue passwords of 16 letters.
const MIN_PASSWORD_BITS: f64 = 64.0;
/// Minimum lifetime guaranteed by the API documentation.
const MIN_IDEMPOTENCY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

type NamedSecret<'a> = (&'static str, &'a SecretString);

pub(super) fn check(reader: &mut Reader, settings: &Settings, role: Role) {
    if settings.api.public_url.scheme() != "https" {
        reader.reject("PUBLIC_URL", "Use an https address in production.");
    }
    check_database(reader, &settings.database);
    match role {
        Role::Api => {
            check_api(reader, &settings.api);
            if settings.erasure.log.is_none() {
                reader.reject(
                    "ERASURE_LOG",
                    "Set a file in production. Without it, erased data comes back if the database is restored from a \
                     backup.",
                );
            }
        }
        Role::Worker => {
            let keys = [("SECRET_KEY", settings.api.secret_keys.current())];
            let passwords = [
                ("LOOPAI_API_KEY", settings.loopai.key.as_ref()),
                ("SMTP_PASSWORD", settings.mail.password.as_ref()),
            ];
            check_keys(reader, &keys);
            for (name, password) in present(passwords) {
                check_password(reader, name, password.expose_secret());
            }
            check_differences(reader, keys.into_iter().chain(present(passwords)).collect());
            check_loopai(reader, &settings.loopai);
            check_mail(reader, &settings.mail);
        }
    }
}

pub(super) fn check_admin(reader: &mut Reader, settings: &AdminSettings) {
    check_database(reader, &settings.database);
    let audit_keys = &settings.audit_keys;
    check_keys(reader, &[("AUDIT_KEY", audit_keys.current())]);
    check_differences(reader, named_audit_keys(audit_keys).collect());
}

pub(super) fn check_database(reader: &mut Reader, settings: &PoolSettings) {
    let url: Option<Url> = settings.url.parse().ok();
    check_password(
        reader,
        "DATABASE_URL",
        url.as_ref().and_then(Url::password).unwrap_or_default(),
    );
}

/// Rejects missing, default and made-up passwords.
fn check_password(reader: &mut Reader, name: &'static str, password: &str) {
    if entropy::estimate(password) < MIN_PASSWORD_BITS {
        reader.reject(
            name,
            "Use a password or key of at least 16 random letters and digits in production. Generate one with `openssl \
             rand -hex 32`, or let the other system issue a new one.",
        );
    }
}

fn check_api(reader: &mut Reader, settings: &ApiSettings) {
    let secret_keys = &settings.secret_keys;
    let mut keys =
        vec![("SECRET_KEY", secret_keys.current()), ("JWT_SECRET_KEY", &settings.jwt.secret_key)];
    keys.push(("AUDIT_KEY", settings.audit_keys.current()));
    keys.extend(secret_keys.others().iter().map(|key| ("PREVIOUS_SECRET_KEYS", key)));
    keys.extend(settings.jwt.other_keys.iter().map(|key| ("JWT_PREVIOUS_SECRET_KEYS", key)));
    keys.extend(present([("LOOPAI_CALLBACK_SECRET", settings.callback_secret.as_ref())]));
    check_keys(reader, &keys);
    // A previous audit key may be weak. It seals no new entries, and a weak key could otherwise never be replaced.
    keys.extend(named_audit_keys(&settings.audit_keys).skip(1));
    check_differences(reader, keys);
    if !settings.cors_origins.iter().all(|origin| is_https_origin(origin)) {
        reader.reject(
            "CORS_ORIGINS",
            "Use only https origins in production, such as `https://app.example.org`. `*`, `null` and http are not \
             allowed.",
        );
    }
    if !reader.is_set("TRUSTED_PROXIES") {
        reader.reject(
            "TRUSTED_PROXIES",
            "Set the number of reverse proxies in production. An https PUBLIC_URL needs at least one because the API \
             uses http. Use 0 only if no proxy adds `X-Forwarded-For`.",
        );
    }
    if settings.proxies.count > 0 && !reader.is_set("TRUSTED_PROXY_ADDRESSES") {
        reader.reject(
            "TRUSTED_PROXY_ADDRESSES",
            "Set the addresses of your reverse proxies in production. Otherwise, any host in a private network could \
             choose the address under which its requests are limited and audited.",
        );
    }
    if settings.idempotency_lifetime < MIN_IDEMPOTENCY_LIFETIME {
        reader.reject(
            "IDEMPOTENCY_LIFETIME_SECONDS",
            format!(
                "Use at least {} in production because the API documentation guarantees it.",
                MIN_IDEMPOTENCY_LIFETIME.as_secs()
            ),
        );
    }
}

fn named_audit_keys(keys: &Keyring) -> impl Iterator<Item = NamedSecret<'_>> {
    let others = keys.others().iter().map(|key| ("PREVIOUS_AUDIT_KEYS", key));
    std::iter::once(("AUDIT_KEY", keys.current())).chain(others)
}

fn check_keys(reader: &mut Reader, keys: &[NamedSecret<'_>]) {
    for (name, key) in keys {
        let key = key.expose_secret();
        let is_long = key.chars().count() >= MIN_SECRET_CHARS;
        // The defaults are public.
        if !reader.is_set(name) || !is_long || entropy::estimate(key) < MIN_SECRET_BITS {
            reader.reject(
                name,
                format!(
                    "Use at least {MIN_SECRET_CHARS} random characters in production. Generate them with \
                     `openssl rand -hex 32`."
                ),
            );
        }
    }
}

/// The secrets must differ so that someone who knows one does not know another.
fn check_differences(reader: &mut Reader, secrets: Vec<NamedSecret<'_>>) {
    for (index, (name, secret)) in secrets.iter().enumerate() {
        let mut earlier = secrets.iter().take(index);
        let equal = earlier.find(|(_, other)| other.expose_secret() == secret.expose_secret());
        if let Some((other, _)) = equal {
            reader.reject(name, format!("Use a different value from {other} in production."));
        }
    }
}

fn present<'a, const N: usize>(
    secrets: [(&'static str, Option<&'a SecretString>); N],
) -> impl Iterator<Item = NamedSecret<'a>> {
    secrets.into_iter().filter_map(|(name, secret)| Some((name, secret?)))
}

fn is_https_origin(origin: &str) -> bool {
    origin.parse().is_ok_and(|url: Url| url.scheme() == "https" && url.has_host())
}

/// Photos are sent to LoopAI, so unencrypted connections are allowed only within a private network.
fn check_loopai(reader: &mut Reader, settings: &LoopAiSettings) {
    let host = settings.url.host_str().unwrap_or_default();
    if settings.url.scheme() != "https" && !is_private_host(host) {
        reader.reject(
            "LOOPAI_API_URL",
            "Use an https address in production, unless the host is a private address or a name without a dot.",
        );
    }
}

/// E-mails contain diagnoses, so unencrypted connections are allowed only within a private network.
fn check_mail(reader: &mut Reader, settings: &MailSettings) {
    if settings.from.email.domain().ends_with(".example") {
        reader.reject("MAIL_FROM", "Set your own address in production: patients reply to it.");
    }
    if !reader.is_set("SMTP_HOST") {
        reader.reject(
            "SMTP_HOST",
            "Set the mail server in production, even if it is on the same machine (`127.0.0.1`).",
        );
    }
    if settings.tls != SmtpTls::None {
        return;
    }
    if settings.password.is_some() {
        reader.reject("SMTP_TLS", "Use starttls or implicit so that SMTP_PASSWORD is encrypted.");
    }
    if !is_private_host(&settings.host) {
        reader.reject(
            "SMTP_TLS",
            "Use starttls or implicit in production, unless SMTP_HOST is a private address or a name without a dot.",
        );
    }
}

/// `host` may be an IPv6 address in brackets, as in a URL.
fn is_private_host(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        // A name without a dot is resolved on the machine itself or within its container network.
        Err(_) => !host.contains('.'),
    }
}
