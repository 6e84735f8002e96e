//! What can be set about the API. The binary reads the environment and fills this in; here stand the
//! meaning, the unit and the default of each.

use secrecy::SecretString;
use std::num::NonZeroU32;
use std::time::Duration;
use url::Url;

/// One mebibyte, the unit in which the limits are told to people.
pub(crate) const MIB: usize = 1024 * 1024;

/// How access tokens of sessions are signed.
#[derive(Debug, Clone)]
pub struct JwtSettings {
    /// `JWT_SECRET_KEY`: signs. No default.
    pub secret_key: SecretString,
    /// `JWT_PREVIOUS_SECRET_KEYS`: earlier keys, whose tokens stay good until they expire. Default: none.
    pub previous_keys: Vec<SecretString>,
    /// `JWT_ALGORITHM`. Default: HS256.
    pub algorithm: JwtAlgorithm,
    /// `ACCESS_TOKEN_LIFETIME_SECONDS`: how long a token is good. Default: 15 minutes.
    pub lifetime: Duration,
}

/// What signs a token; never taken from the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

/// How many requests one client may send in a minute; a third of them at once.
#[derive(Debug, Clone, Copy)]
pub struct RateLimits {
    /// `RATE_LIMIT_SUBMIT_PER_MINUTE`: submissions. Default: 30.
    pub submit: NonZeroU32,
    /// `RATE_LIMIT_READ_PER_MINUTE`: questions where one stands, streams opened, and images that LoopAI
    /// fetches. Default: 600.
    pub read: NonZeroU32,
    /// `RATE_LIMIT_SIGN_IN_PER_MINUTE`: sign-ins and refreshes. Default: 30.
    pub sign_in: NonZeroU32,
    /// `RATE_LIMIT_WEBHOOK_PER_MINUTE`: LoopAI's call-backs. Default: 600.
    pub webhook: NonZeroU32,
    /// `RATE_LIMIT_HEALTH_PER_MINUTE`: questions how the service stands. Default: 600.
    pub health: NonZeroU32,
    /// `RATE_LIMIT_UNAUTHENTICATED_PER_MINUTE`: requests, to any route, that are refused because nothing or nothing
    /// good was brought along, and that the audit has. Default: 30.
    pub unauthenticated: NonZeroU32,
}

impl Default for RateLimits {
    fn default() -> Self {
        let per_minute = |number| NonZeroU32::new(number).expect("not zero");
        Self {
            submit: per_minute(30),
            read: per_minute(600),
            sign_in: per_minute(30),
            webhook: per_minute(600),
            health: per_minute(600),
            unauthenticated: per_minute(30),
        }
    }
}

/// Settings of the API.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// `CORS_ORIGINS`: origins whose pages may call this API, e.g. `https://www.example.org`; `*`
    /// allows every origin, but then without cookies. Default: none.
    pub cors_origins: Vec<String>,
    /// `SECRET_KEY`: access tokens and links to files are derived from it. Another key makes all that
    /// were given out before invalid. No default.
    pub secret_key: SecretString,
    /// Access tokens of sessions.
    pub jwt: JwtSettings,
    /// `AUDIT_KEY`: seals the lines of the audit. With another key than theirs, lines cannot be verified.
    /// No default.
    pub audit_key: SecretString,
    /// `SESSION_IDLE_TIMEOUT_SECONDS`: how long a session lives without being used. Default: 30 minutes.
    pub session_idle: Duration,
    /// `SESSION_LIFETIME_SECONDS`: how long a session lives at most. Default: 12 hours.
    pub session_lifetime: Duration,
    /// `TRUSTED_PROXIES`: how many reverse proxies stand before the API, each of which adds whom it spoke
    /// to to `X-Forwarded-For`. Default: 0, and then that header is not believed.
    pub trusted_proxies: usize,
    /// What one client may send to the routes that anybody reaches.
    pub rate_limits: RateLimits,
    /// `LOOPAI_CALLBACK_SECRET`: what LoopAI signs its call-backs with. Default: none, and no call-backs.
    pub callback_secret: Option<SecretString>,
    /// `PUBLIC_URL`: where browsers reach this API; the addresses in answers begin with it. With
    /// `https`, cookies are marked *Secure*, and browsers are told to come by nothing else. No default.
    pub public_url: Url,
    /// `TEMPORAL_UI_URL`: where staff reach the Temporal UI; links to runs begin with it. Default:
    /// `http://127.0.0.1:8233`.
    pub temporal_ui: Url,
    /// `CONSENT_VERSION`: names the consent text that is shown now; stored with each submission.
    /// One that names another version is refused. Default: `2026-11`.
    pub consent_version: String,
    /// `MAX_FILE_BYTES`: most bytes of one image. Default: 10 MiB.
    pub max_file_bytes: usize,
    /// `MAX_FILES`: most images of one submission, at most 100. Default: 10.
    pub max_files: usize,
    /// `UPLOAD_MEMORY_BYTES`: most memory that all uploads in progress may take together; beyond it
    /// the API answers 503 `busy`. Never less than one submission of the largest size needs.
    /// Default: 512 MiB.
    pub upload_memory: usize,
    /// `REQUEST_TIMEOUT_SECONDS`: longest time until an answer begins. Default: 30 s.
    pub request_timeout: Duration,
    /// `UPLOAD_TIMEOUT_SECONDS`: longest time that the upload of a submission may take. Default: 120 s.
    pub upload_timeout: Duration,
    /// `START_GRACE_SECONDS`: how long the sweeper leaves a new run to the process that stored it.
    /// Default: 10 s.
    pub start_grace: Duration,
    /// `IDEMPOTENCY_LEASE_SECONDS`: how long a request that went silent keeps its Idempotency-Key
    /// from a repeat. Default: 60 s.
    pub idempotency_lease: Duration,
    /// `IDEMPOTENCY_LIFETIME_SECONDS`: how long an answered Idempotency-Key is remembered.
    /// Default: 24 h.
    pub idempotency_lifetime: Duration,
    /// `EVENTS_POLL_SECONDS`: how often the table of events is looked at while anybody listens.
    /// Default: 0.25 s.
    pub events_poll: Duration,
    /// `EVENTS_HEARTBEAT_SECONDS`: how often a silent event stream gets a sign of life. Default: 15 s.
    pub events_heartbeat: Duration,
    /// `SHUTDOWN_TIMEOUT_SECONDS`: how long requests may go on after the process was asked to end.
    /// Default: 25 s (below the 30 s after which most orchestrators kill).
    pub shutdown_timeout: Duration,
}

impl ApiSettings {
    /// The defaults, around the settings that have none. One secret serves all purposes here.
    pub fn new(secret_key: SecretString, public_url: Url) -> Self {
        Self {
            cors_origins: Vec::new(),
            jwt: JwtSettings {
                secret_key: secret_key.clone(),
                previous_keys: Vec::new(),
                algorithm: JwtAlgorithm::Hs256,
                lifetime: Duration::from_secs(15 * 60),
            },
            audit_key: secret_key.clone(),
            session_idle: Duration::from_secs(30 * 60),
            session_lifetime: Duration::from_secs(12 * 60 * 60),
            trusted_proxies: 0,
            rate_limits: RateLimits::default(),
            secret_key,
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
            shutdown_timeout: Duration::from_secs(25),
        }
    }

    /// Whether browsers reach this API over encrypted connections only.
    pub(crate) fn is_secure(&self) -> bool {
        self.public_url.scheme() == "https"
    }

    /// The name of a cookie for this path. Browsers take one with a prefix over encrypted connections only,
    /// `__Host-` besides from this host alone and for all its paths: nobody else can put one there.
    pub(crate) fn cookie_name(&self, name: &str, path: &str) -> String {
        match (self.is_secure(), path) {
            (false, _) => name.to_owned(),
            (true, "/") => format!("__Host-{name}"),
            (true, _) => format!("__Secure-{name}"),
        }
    }

    /// The public address of a path of this API.
    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }

    /// Most bytes of a submission's body: all images in base64, and 1 MiB for everything else.
    pub(crate) fn max_body(&self) -> usize {
        let base64 = self.max_file_bytes.div_ceil(3) * 4;
        self.max_files.saturating_mul(base64).saturating_add(MIB)
    }
}
