//! API settings. Each setting and its default are documented in `cli/src/settings/defaults.toml`.

use crate::proxies::TrustedProxies;
use diagflow_store::settings::{
    audit_keys, convert, http_url, list, parse, parse_seconds, seconds, secret_keys, within,
};
use diagflow_store::{Keyring, RecipientLimits};
use diagflow_workflows::PollSchedule;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;
use url::Url;

pub(crate) const MIB: usize = 1024 * 1024;

#[derive(Debug, Clone, Deserialize)]
pub struct JwtSettings {
    #[serde(rename = "JWT_SECRET_KEY")]
    pub secret_key: SecretString,
    #[serde(rename = "JWT_PREVIOUS_SECRET_KEYS", deserialize_with = "list", default)]
    pub other_keys: Vec<SecretString>,
    #[serde(rename = "JWT_ALGORITHM")]
    pub algorithm: JwtAlgorithm,
    #[serde(rename = "ACCESS_TOKEN_LIFETIME_SECONDS", deserialize_with = "seconds")]
    pub lifetime: Duration,
}

/// The algorithm is never taken from a token's header, which an attacker could change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JwtAlgorithm {
    Hs256,
    Hs384,
    Hs512,
}

/// Maximum number of requests per client per minute. Up to a third of them may arrive at once.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct RateLimits {
    #[serde(rename = "RATE_LIMIT_SUBMIT_PER_MINUTE", deserialize_with = "rate")]
    pub submit: NonZeroU32,
    #[serde(rename = "RATE_LIMIT_SUBMIT_ATTEMPTS_PER_MINUTE", deserialize_with = "rate")]
    pub submit_attempt: NonZeroU32,
    #[serde(rename = "RATE_LIMIT_READ_PER_MINUTE", deserialize_with = "rate")]
    pub read: NonZeroU32,
    #[serde(rename = "RATE_LIMIT_SIGN_IN_PER_MINUTE", deserialize_with = "rate")]
    pub sign_in: NonZeroU32,
    #[serde(rename = "RATE_LIMIT_WEBHOOK_PER_MINUTE", deserialize_with = "rate")]
    pub webhook: NonZeroU32,
    #[serde(rename = "RATE_LIMIT_HEALTH_PER_MINUTE", deserialize_with = "rate")]
    pub health: NonZeroU32,
    #[serde(rename = "RATE_LIMIT_UNAUTHENTICATED_PER_MINUTE", deserialize_with = "rate")]
    pub unauthenticated: NonZeroU32,
    /// Maximum number of requests per account, across all its sessions and addresses.
    #[serde(rename = "RATE_LIMIT_ACCOUNT_PER_MINUTE", deserialize_with = "rate")]
    pub account: NonZeroU32,
}

/// Maximum numbers of connections and event streams that may be open at the same time. Zero would lock everyone out.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct OpenLimits {
    #[serde(
        rename = "MAX_CONNECTIONS_PER_CLIENT",
        deserialize_with = "within::<_, _, 1, 1_000_000>"
    )]
    pub connections_per_client: usize,
    #[serde(rename = "MAX_STREAMS_PER_CLIENT", deserialize_with = "within::<_, _, 1, 1_000_000>")]
    pub streams_per_client: usize,
    #[serde(rename = "MAX_STREAMS_PER_ACCOUNT", deserialize_with = "within::<_, _, 1, 1_000_000>")]
    pub streams_per_account: usize,
}

/// The highest allowed rate is effectively unlimited.
fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU32, D::Error> {
    within::<_, _, 1, 1_000_000>(deserializer)
}

#[derive(Debug, Clone, Deserialize)]
pub struct ApiSettings {
    /// Whether to serve pages that only developers need.
    #[serde(rename = "DIAGFLOW_ENV", deserialize_with = "is_development")]
    pub is_development: bool,
    #[serde(rename = "CORS_ORIGINS", deserialize_with = "list", default)]
    pub cors_origins: Vec<String>,
    #[serde(deserialize_with = "secret_keys")]
    pub secret_keys: Keyring,
    pub jwt: JwtSettings,
    #[serde(deserialize_with = "audit_keys")]
    pub audit_keys: Keyring,
    #[serde(rename = "SESSION_IDLE_TIMEOUT_SECONDS", deserialize_with = "seconds")]
    pub session_idle: Duration,
    #[serde(rename = "SESSION_LIFETIME_SECONDS", deserialize_with = "seconds")]
    pub session_lifetime: Duration,
    pub proxies: TrustedProxies,
    pub rate_limits: RateLimits,
    pub open_limits: OpenLimits,
    pub recipient_limits: RecipientLimits,
    /// Whether submissions may have an e-mail address that requires SMTPUTF8.
    #[serde(rename = "SMTP_SUPPORTS_SMTPUTF8", deserialize_with = "parse")]
    pub smtputf8: bool,
    #[serde(rename = "LOOPAI_CALLBACK_SECRET")]
    pub callback_secret: Option<SecretString>,
    #[serde(rename = "PUBLIC_URL", deserialize_with = "http_url")]
    pub public_url: Url,
    #[serde(rename = "TEMPORAL_UI_URL", deserialize_with = "http_url")]
    pub temporal_ui: Url,
    #[serde(rename = "CONSENT_VERSION", deserialize_with = "consent_version")]
    pub consent_version: String,
    /// The value is bounded because all images of a submission must fit into memory.
    #[serde(rename = "MAX_FILE_BYTES", deserialize_with = "within::<_, _, 1, 0x4000_0000>")]
    pub max_file_bytes: usize,
    #[serde(rename = "MAX_FILES", deserialize_with = "within::<_, _, 1, 100>")]
    pub max_files: usize,
    #[serde(rename = "UPLOAD_MEMORY_BYTES", deserialize_with = "parse")]
    pub upload_memory: usize,
    #[serde(rename = "REQUEST_TIMEOUT_SECONDS", deserialize_with = "seconds")]
    pub request_timeout: Duration,
    #[serde(rename = "UPLOAD_TIMEOUT_SECONDS", deserialize_with = "seconds")]
    pub upload_timeout: Duration,
    #[serde(rename = "START_GRACE_SECONDS", deserialize_with = "seconds")]
    pub start_grace: Duration,
    #[serde(rename = "IDEMPOTENCY_LEASE_SECONDS", deserialize_with = "seconds")]
    pub idempotency_lease: Duration,
    #[serde(rename = "IDEMPOTENCY_LIFETIME_SECONDS", deserialize_with = "seconds")]
    pub idempotency_lifetime: Duration,
    #[serde(rename = "EVENTS_POLL_SECONDS", deserialize_with = "seconds")]
    pub events_poll: Duration,
    #[serde(rename = "EVENTS_HEARTBEAT_SECONDS", deserialize_with = "seconds")]
    pub events_heartbeat: Duration,
    #[serde(rename = "EVENTS_EMAIL_WAIT_SECONDS", deserialize_with = "seconds")]
    pub events_email_wait: Duration,
    /// The default is shorter than the 30 s after which most orchestrators kill a process.
    #[serde(rename = "SHUTDOWN_TIMEOUT_SECONDS", deserialize_with = "seconds")]
    pub shutdown_timeout: Duration,
}

fn is_development<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(deserializer)? == "development")
}

/// Accepts only printable ASCII text that fits into the database column.
fn consent_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    convert(deserializer, |text| {
        let is_valid = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_valid.then(|| text.to_owned())
    })
}

/// Reads the poll schedule passed to each new run.
pub(crate) fn poll_schedule<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<PollSchedule, D::Error> {
    #[derive(Deserialize)]
    struct Variables {
        #[serde(rename = "DIAGNOSIS_POLL_SECONDS", deserialize_with = "poll_waits")]
        waits_ms: Vec<u64>,
        #[serde(rename = "DIAGNOSIS_DEADLINE_SECONDS", deserialize_with = "seconds")]
        deadline: Duration,
    }
    let Variables { waits_ms, deadline } = Variables::deserialize(deserializer)?;
    Ok(PollSchedule { waits_ms, deadline_ms: milliseconds(deadline) })
}

/// Shorter waits would overload LoopAI with polls.
const MIN_POLL_WAIT: Duration = Duration::from_millis(50);

fn poll_waits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    convert(deserializer, |text| {
        let waits = text.split(',').map(|item| parse_seconds(item.trim()));
        let waits = waits.map(|wait| wait.filter(|wait| *wait >= MIN_POLL_WAIT).map(milliseconds));
        waits.collect()
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
impl ApiSettings {
    pub(crate) fn new(secret_key: SecretString, public_url: Url) -> Self {
        let rate = |number| NonZeroU32::new(number).expect("not zero");
        Self {
            is_development: true,
            cors_origins: Vec::new(),
            jwt: JwtSettings {
                secret_key: secret_key.clone(),
                other_keys: Vec::new(),
                algorithm: JwtAlgorithm::Hs256,
                lifetime: Duration::from_secs(15 * 60),
            },
            audit_keys: Keyring::new(secret_key.clone(), Vec::new()),
            session_idle: Duration::from_secs(30 * 60),
            session_lifetime: Duration::from_secs(12 * 60 * 60),
            proxies: TrustedProxies::new(0, "127.0.0.1"),
            rate_limits: RateLimits {
                submit: rate(30),
                submit_attempt: rate(120),
                read: rate(600),
                sign_in: rate(30),
                webhook: rate(600),
                health: rate(600),
                unauthenticated: rate(30),
                account: rate(3000),
            },
            open_limits: OpenLimits {
                connections_per_client: 256,
                streams_per_client: 128,
                streams_per_account: 64,
            },
            recipient_limits: RecipientLimits::default(),
            smtputf8: true,
            secret_keys: Keyring::new(secret_key, Vec::new()),
            callback_secret: None,
            public_url,
            temporal_ui: "http://127.0.0.1:8233".parse().expect("an address"),
            consent_version: "2026-11".to_owned(),
            max_file_bytes: 10 * MIB,
            max_files: 10,
            upload_memory: 512 * MIB,
            request_timeout: Duration::from_secs(30),
            upload_timeout: Duration::from_secs(120),
            start_grace: Duration::from_secs(10),
            idempotency_lease: Duration::from_secs(60),
            idempotency_lifetime: Duration::from_secs(24 * 60 * 60),
            events_poll: Duration::from_millis(250),
            events_heartbeat: Duration::from_secs(15),
            events_email_wait: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(25),
        }
    }
}

impl ApiSettings {
    /// Whether a peer is one of our own reverse proxies.
    pub(crate) fn is_trusted_proxy(&self, peer: IpAddr) -> bool {
        self.proxies.contain(peer)
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.public_url.scheme() == "https"
    }

    /// Returns the full name of a cookie, which is prefixed if HTTPS is used. Browsers accept `__Secure-` cookies only
    /// over HTTPS. They accept a `__Host-` cookie only if it is limited to one host and covers all of that host's
    /// paths, so no other host can set it.
    pub(crate) fn cookie_name(&self, name: &str, path: &str) -> String {
        match (self.is_secure(), path) {
            (false, _) => name.to_owned(),
            (true, "/") => format!("__Host-{name}"),
            (true, _) => format!("__Secure-{name}"),
        }
    }

    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }

    /// Maximum size of a submission body in bytes: all images in base64, plus 1 MiB for everything else.
    pub(crate) fn max_body(&self) -> usize {
        let base64 = self.max_file_bytes.div_ceil(3) * 4;
        self.max_files.saturating_mul(base64).saturating_add(MIB)
    }
}
