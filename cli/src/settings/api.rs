//! What can be set about the API.

use super::reader::Reader;
use diagflow_api::{ApiSettings, JwtAlgorithm, JwtSettings, RateLimits};
use secrecy::SecretString;
use std::num::NonZeroU32;
use url::Url;

/// Highest rate that can be set: as good as none.
const MAX_RATE: NonZeroU32 = NonZeroU32::new(1_000_000).expect("not zero");
/// Largest image that can be allowed: the bytes of a whole submission must fit into memory.
const MAX_FILE_SIZE: usize = 1024 * 1024 * 1024;
/// Longest name of a consent text that the records hold.
const MAX_CONSENT_VERSION_BYTES: usize = 64;

/// Reads them.
pub(super) fn read(reader: &mut Reader) -> Option<ApiSettings> {
    let public_url = reader.parse("PUBLIC_URL", "an address, such as https://diagflow.example.org");
    let temporal_ui = reader.read("TEMPORAL_UI_URL", "an http or https address", |text| {
        text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https"))
    });
    let max_file_bytes = reader.number("MAX_FILE_BYTES", 1..=MAX_FILE_SIZE);
    let max_files = reader.number("MAX_FILES", 1..=100);
    let upload_memory = reader.parse("UPLOAD_MEMORY_BYTES", "a number of bytes");
    let request_timeout = reader.seconds("REQUEST_TIMEOUT_SECONDS");
    let upload_timeout = reader.seconds("UPLOAD_TIMEOUT_SECONDS");
    let shutdown_timeout = reader.seconds("SHUTDOWN_TIMEOUT_SECONDS");
    let start_grace = reader.seconds("START_GRACE_SECONDS");
    let idempotency_lease = reader.seconds("IDEMPOTENCY_LEASE_SECONDS");
    let idempotency_lifetime = reader.seconds("IDEMPOTENCY_LIFETIME_SECONDS");
    let events_poll = reader.seconds("EVENTS_POLL_SECONDS");
    let events_heartbeat = reader.seconds("EVENTS_HEARTBEAT_SECONDS");
    let jwt = jwt(reader);
    let session_idle = reader.seconds("SESSION_IDLE_TIMEOUT_SECONDS");
    let session_lifetime = reader.seconds("SESSION_LIFETIME_SECONDS");
    let trusted_proxies = reader.number("TRUSTED_PROXIES", 0..=10);
    let rate_limits = rate_limits(reader);
    let consent_version =
        reader.read("CONSENT_VERSION", "1 to 64 visible ASCII characters", |text| {
            let fits = text.len() <= MAX_CONSENT_VERSION_BYTES;
            (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
        });
    Some(ApiSettings {
        cors_origins: reader.list("CORS_ORIGINS"),
        secret_key: reader.secret("SECRET_KEY")?,
        jwt: jwt?,
        audit_key: reader.secret("AUDIT_KEY")?,
        session_idle: session_idle?,
        session_lifetime: session_lifetime?,
        trusted_proxies: trusted_proxies?,
        rate_limits: rate_limits?,
        callback_secret: reader.secret("LOOPAI_CALLBACK_SECRET"),
        public_url: public_url?,
        temporal_ui: temporal_ui?,
        consent_version: consent_version?,
        max_file_bytes: max_file_bytes?,
        max_files: max_files?,
        upload_memory: upload_memory?,
        request_timeout: request_timeout?,
        upload_timeout: upload_timeout?,
        start_grace: start_grace?,
        idempotency_lease: idempotency_lease?,
        idempotency_lifetime: idempotency_lifetime?,
        events_poll: events_poll?,
        events_heartbeat: events_heartbeat?,
        shutdown_timeout: shutdown_timeout?,
    })
}

fn rate_limits(reader: &mut Reader) -> Option<RateLimits> {
    let mut per_minute = |name| reader.number(name, NonZeroU32::MIN..=MAX_RATE);
    let submit = per_minute("RATE_LIMIT_SUBMIT_PER_MINUTE");
    let read = per_minute("RATE_LIMIT_READ_PER_MINUTE");
    let sign_in = per_minute("RATE_LIMIT_SIGN_IN_PER_MINUTE");
    let webhook = per_minute("RATE_LIMIT_WEBHOOK_PER_MINUTE");
    let health = per_minute("RATE_LIMIT_HEALTH_PER_MINUTE");
    let unauthenticated = per_minute("RATE_LIMIT_UNAUTHENTICATED_PER_MINUTE");
    Some(RateLimits {
        submit: submit?,
        read: read?,
        sign_in: sign_in?,
        webhook: webhook?,
        health: health?,
        unauthenticated: unauthenticated?,
    })
}

fn jwt(reader: &mut Reader) -> Option<JwtSettings> {
    let algorithm = reader.read("JWT_ALGORITHM", "HS256, HS384 or HS512", |text| match text {
        "HS256" => Some(JwtAlgorithm::Hs256),
        "HS384" => Some(JwtAlgorithm::Hs384),
        "HS512" => Some(JwtAlgorithm::Hs512),
        _ => None,
    });
    let previous_keys = reader.list("JWT_PREVIOUS_SECRET_KEYS");
    let lifetime = reader.seconds("ACCESS_TOKEN_LIFETIME_SECONDS");
    Some(JwtSettings {
        secret_key: reader.secret("JWT_SECRET_KEY")?,
        previous_keys: previous_keys.into_iter().map(SecretString::from).collect(),
        algorithm: algorithm?,
        lifetime: lifetime?,
    })
}
