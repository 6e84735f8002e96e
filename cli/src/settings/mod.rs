//! The settings: documented defaults (`defaults.toml`), the environment on top, checked as a whole.

mod api;
mod production;
mod reader;

use diagflow_activities::WorkerSettings;
use diagflow_activities::loopai::{LoopAiSettings, RequestLimiter};
use diagflow_activities::mail::{MAX_RESPONSE_TIMEOUT, MailSettings, SmtpTls};
use diagflow_activities::temporal::TemporalSettings;
use diagflow_api::ApiSettings;
use diagflow_store::{LoopAiLimits, PoolSettings};
use diagflow_workflows::PollSchedule;
use reader::Reader;
use secrecy::{ExposeSecret, SecretString};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use url::Url;

const DEFAULTS: &str = include_str!("defaults.toml");
/// An attempt at an activity ends after 45 s (`workflows::policy`); the rest is for the records.
const MAX_LOOPAI_TIMEOUT: Duration = Duration::from_secs(40);
/// A shorter wait would ask LoopAI without end and let it do nothing else.
const MIN_POLL_WAIT: Duration = Duration::from_millis(50);
/// Temporal ends a run whose history grows beyond 51,200 events; the rest is for what is not a look.
const MAX_POLL_EVENTS: u64 = 40_000;
/// docs/adr/0002-history-limits.md
const EVENTS_PER_POLL: u64 = 6;

/// The largest limit towards LoopAI: as many rows of an index are read under a lock for each request.
const MAX_LOOPAI_LIMIT: i64 = 100_000;

/// Everything that can be set.
pub(crate) struct Settings {
    pub(crate) log: LogSettings,
    pub(crate) listen: SocketAddr,
    pub(crate) worker_listen: SocketAddr,
    pub(crate) api: ApiSettings,
    pub(crate) database: DatabaseSettings,
    pub(crate) storage: Url,
    pub(crate) temporal: TemporalSettings,
    pub(crate) schedule: PollSchedule,
    pub(crate) sweep_interval: Duration,
    pub(crate) reconcile_after: Duration,
    pub(crate) reconcile_every: Duration,
    pub(crate) orphaned_file_age: Duration,
    pub(crate) worker: WorkerSettings,
    /// `WORKER_IMAGE_MEMORY_BYTES`, or what the largest submission takes, whichever is more.
    pub(crate) image_memory: u64,
    pub(crate) loopai: LoopAiSettings,
    pub(crate) loopai_images: LoopAiImages,
    pub(crate) limits: LoopAiLimits,
    pub(crate) mail: MailSettings,
}

/// `LOG_LEVEL` and `LOG_FORMAT`.
pub(crate) struct LogSettings {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

/// How logs look.
#[derive(Clone, Copy)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// `LOOPAI_IMAGES` and `LOOPAI_IMAGE_URL_LIFETIME_SECONDS`: how LoopAI gets images.
pub(crate) enum LoopAiImages {
    Data,
    Links { lifetime: Duration },
}

/// `DATABASE_URL`, `DATABASE_POOL_SIZE`, `DATABASE_POOL_TIMEOUT_SECONDS`, `DATABASE_STATEMENT_TIMEOUT_SECONDS`.
pub(crate) struct DatabaseSettings {
    pub(crate) url: SecretString,
    address: String,
    size: u32,
    wait: Duration,
    statement: Duration,
}

impl DatabaseSettings {
    /// For the store.
    pub(crate) fn pool(&self) -> PoolSettings {
        PoolSettings {
            url: self.url.expose_secret().to_owned(),
            size: self.size,
            wait: self.wait,
            statement: self.statement,
        }
    }

    /// Host and port, and nothing else of the address: it holds a password.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }
}

impl LogSettings {
    /// Reads only these, for the commands that need no others.
    pub(crate) fn read() -> anyhow::Result<LogSettings> {
        let mut reader = Reader::new(DEFAULTS, std::env::vars_os())?;
        let log = log(&mut reader);
        finish(reader, log)
    }
}

/// What the commands about accounts need.
pub(crate) struct AccountSettings {
    pub(crate) database: DatabaseSettings,
    pub(crate) audit_key: SecretString,
}

impl AccountSettings {
    /// Reads only these. In production they are checked as those of the API are.
    pub(crate) fn read() -> anyhow::Result<AccountSettings> {
        let mut reader = Reader::new(DEFAULTS, std::env::vars_os())?;
        let database = database(&mut reader);
        let audit_key = reader.secret("AUDIT_KEY");
        let settings = database.zip(audit_key);
        if let (Some((database, key)), Some(true)) =
            (&settings, production::is_production(&mut reader))
        {
            production::check_database(&mut reader, database);
            production::check_secret(&mut reader, "AUDIT_KEY", key);
        }
        let settings = settings.map(|(database, audit_key)| Self { database, audit_key });
        finish(reader, settings)
    }
}

impl Settings {
    /// Reads all settings.
    ///
    /// # Errors
    /// With every fault that there is.
    pub(crate) fn read() -> anyhow::Result<Settings> {
        Self::from(std::env::vars_os())
    }

    fn from(environment: impl Iterator<Item = (OsString, OsString)>) -> anyhow::Result<Settings> {
        let mut reader = Reader::new(DEFAULTS, environment)?;
        let settings = all(&mut reader);
        let is_production = production::is_production(&mut reader);
        if let (Some(settings), Some(true)) = (&settings, is_production) {
            production::check(&mut reader, settings);
        }
        finish(reader, settings)
    }
}

fn finish<T>(reader: Reader, value: Option<T>) -> anyhow::Result<T> {
    reader.finish()?;
    value.ok_or_else(|| anyhow::anyhow!("a setting is missing, but no fault was noted"))
}

/// Reads each part before it gives up, so that all faults are found.
fn all(reader: &mut Reader) -> Option<Settings> {
    let log = log(reader);
    let listen = reader.parse("LISTEN_ADDRESS", "an address and a port, such as 0.0.0.0:8080");
    let worker_listen =
        reader.parse("WORKER_LISTEN_ADDRESS", "an address and a port, such as 0.0.0.0:8081");
    let api = api::read(reader);
    let database = database(reader);
    let storage = storage(reader);
    let temporal = temporal(reader);
    let schedule = schedule(reader);
    let sweep_interval = reader.seconds("OUTBOX_SWEEP_SECONDS");
    let reconcile_after = reader.seconds("RECONCILE_AFTER_SECONDS");
    let reconcile_every = reader.seconds("RECONCILE_SWEEP_SECONDS");
    let orphaned_file_age = reader.seconds("ORPHANED_FILE_SECONDS");
    let shutdown_period = reader.seconds("WORKER_SHUTDOWN_TIMEOUT_SECONDS");
    let concurrency = reader.number("WORKER_CONCURRENCY", 2..=1000);
    let image_memory: Option<u64> = reader.parse("WORKER_IMAGE_MEMORY_BYTES", "a number of bytes");
    let loopai = loopai(reader);
    let loopai_images = loopai_images(reader);
    let limits = limits(reader);
    let mail = mail(reader);
    let temporal = temporal?;
    let api = api?;
    Some(Settings {
        log: log?,
        listen: listen?,
        worker_listen: worker_listen?,
        database: database?,
        storage: storage?,
        schedule: schedule?,
        sweep_interval: sweep_interval?.max(Duration::from_millis(10)),
        reconcile_after: reconcile_after?,
        reconcile_every: reconcile_every?.max(Duration::from_millis(10)),
        orphaned_file_age: orphaned_file_age?.max(Duration::from_secs(1)),
        worker: WorkerSettings {
            task_queue: temporal.task_queue.clone(),
            shutdown_period: shutdown_period?,
            concurrency: concurrency?,
        },
        image_memory: image_memory?.max(RequestLimiter::memory_for(max_submission_bytes(&api))),
        api,
        temporal,
        loopai: loopai?,
        loopai_images: loopai_images?,
        limits: limits?,
        mail: mail?,
    })
}

/// Most bytes that the images of one submission have.
fn max_submission_bytes(api: &ApiSettings) -> u64 {
    u64::try_from(api.max_file_bytes.saturating_mul(api.max_files)).unwrap_or(u64::MAX)
}

fn log(reader: &mut Reader) -> Option<LogSettings> {
    let level = reader.read("LOG_LEVEL", "a level or filter, such as info", |text| {
        EnvFilter::try_new(text).is_ok().then(|| text.to_owned())
    });
    let format = reader.read("LOG_FORMAT", "text or json", |text| match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    });
    Some(LogSettings { level: level?, format: format? })
}

fn database(reader: &mut Reader) -> Option<DatabaseSettings> {
    let url = reader.read("DATABASE_URL", "mysql://user:password@host:port/database", |text| {
        let url: Url = text.parse().ok()?;
        let complete = url.scheme() == "mysql" && url.path().len() > 1;
        let address =
            format!("{}:{}", url.host().filter(|_| complete)?, url.port().unwrap_or(3306));
        Some((SecretString::from(text), address))
    });
    let size = reader.number("DATABASE_POOL_SIZE", 1..=1000);
    let wait = reader.seconds("DATABASE_POOL_TIMEOUT_SECONDS");
    let statement = reader.seconds("DATABASE_STATEMENT_TIMEOUT_SECONDS");
    let (url, address) = url?;
    Some(DatabaseSettings { url, address, size: size?, wait: wait?, statement: statement? })
}

fn storage(reader: &mut Reader) -> Option<Url> {
    reader.read("STORAGE_URL", "file:///folder or s3://bucket/prefix", |text| {
        let url: Url = text.parse().ok()?;
        let complete = match url.scheme() {
            "file" => url.to_file_path().is_ok(),
            "s3" => url.host().is_some(),
            _ => false,
        };
        complete.then_some(url)
    })
}

fn temporal(reader: &mut Reader) -> Option<TemporalSettings> {
    let address = reader.read("TEMPORAL_ADDRESS", "host:port", |text| {
        let url: Url = format!("http://{text}").parse().ok()?;
        url.port().map(|_| url)
    });
    let namespace = reader.parse("TEMPORAL_NAMESPACE", "a name");
    let task_queue = reader.parse("TEMPORAL_TASK_QUEUE", "a name");
    Some(TemporalSettings { address: address?, namespace: namespace?, task_queue: task_queue? })
}

fn schedule(reader: &mut Reader) -> Option<PollSchedule> {
    let meaning = "seconds of at least 0.05, separated by commas, such as 5,10,20";
    let waits_ms = reader.read("DIAGNOSIS_POLL_SECONDS", meaning, |text| {
        let waits = text.split(',').map(|item| milliseconds(item.trim()));
        let waits = waits.collect::<Option<Vec<u64>>>()?;
        waits.iter().all(|wait| u128::from(*wait) >= MIN_POLL_WAIT.as_millis()).then_some(waits)
    });
    let deadline_ms = reader.read("DIAGNOSIS_DEADLINE_SECONDS", "seconds", milliseconds);
    let schedule = PollSchedule { waits_ms: waits_ms?, deadline_ms: deadline_ms? };
    check_history_size(reader, &schedule);
    Some(schedule)
}

/// A run that looks at LoopAI until its deadline must fit into one history.
fn check_history_size(reader: &mut Reader, schedule: &PollSchedule) {
    let max_polls = MAX_POLL_EVENTS / EVENTS_PER_POLL;
    let last = schedule.waits_ms.last().copied().unwrap_or_default();
    if last.saturating_mul(max_polls) < schedule.deadline_ms {
        reader.fault(format!(
            "DIAGNOSIS_POLL_SECONDS must end in a longer wait, or DIAGNOSIS_DEADLINE_SECONDS be shorter: \
             Temporal keeps at most {max_polls} looks of one run"
        ));
    }
}

fn milliseconds(text: &str) -> Option<u64> {
    let duration = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
    u64::try_from(duration.as_millis()).ok()
}

/// The limits over all workers; 0 is none.
fn limits(reader: &mut Reader) -> Option<LoopAiLimits> {
    let max_executions = reader.number("LOOPAI_MAX_EXECUTIONS", 0..=MAX_LOOPAI_LIMIT);
    let max_per_hour = reader.number("LOOPAI_MAX_PER_HOUR", 0..=MAX_LOOPAI_LIMIT);
    let limit = |number: i64| (number > 0).then_some(number);
    Some(LoopAiLimits {
        max_executions: limit(max_executions?),
        max_per_hour: limit(max_per_hour?),
    })
}

fn loopai(reader: &mut Reader) -> Option<LoopAiSettings> {
    let url = reader.read("LOOPAI_API_URL", "an http or https address", |text| {
        text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https"))
    });
    let agent_id = reader.parse("LOOPAI_AGENT_ID", "a whole number");
    let timeout =
        reader.read("LOOPAI_TIMEOUT_SECONDS", "seconds, more than 0 and at most 40", |text| {
            let timeout = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
            (!timeout.is_zero() && timeout <= MAX_LOOPAI_TIMEOUT).then_some(timeout)
        });
    Some(LoopAiSettings {
        url: url?,
        key: reader.secret("LOOPAI_API_KEY"),
        agent_id: agent_id?,
        timeout: timeout?,
    })
}

fn loopai_images(reader: &mut Reader) -> Option<LoopAiImages> {
    let lifetime = reader.seconds("LOOPAI_IMAGE_URL_LIFETIME_SECONDS")?;
    reader.read("LOOPAI_IMAGES", "data or url", |text| match text {
        "data" => Some(LoopAiImages::Data),
        "url" => Some(LoopAiImages::Links { lifetime }),
        _ => None,
    })
}

fn mail(reader: &mut Reader) -> Option<MailSettings> {
    let host = reader.parse("SMTP_HOST", "a host name");
    let port = reader.parse("SMTP_PORT", "a port");
    let tls = reader.read("SMTP_TLS", "implicit, starttls or none", |text| match text {
        "implicit" => Some(SmtpTls::Implicit),
        "starttls" => Some(SmtpTls::StartTls),
        "none" => Some(SmtpTls::None),
        _ => None,
    });
    let from = reader.parse("MAIL_FROM", "an address, such as Diagflow <help@example.org>");
    let pool_size = reader.number("SMTP_POOL_SIZE", 1..=1000);
    let answer = reader.read("SMTP_RESPONSE_TIMEOUT_SECONDS", "seconds, from 0.1 to 120", |text| {
        let answer = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
        (Duration::from_millis(100)..=MAX_RESPONSE_TIMEOUT).contains(&answer).then_some(answer)
    });
    let user = reader.optional("SMTP_USER").map(str::to_owned);
    let credentials = match (user, reader.secret("SMTP_PASSWORD")) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        _ => {
            reader.fault("SMTP_USER and SMTP_PASSWORD must both be set, or neither".to_owned());
            None
        }
    };
    let authority = match reader.optional("SMTP_CA_FILE").map(std::fs::read).transpose() {
        Ok(authority) => authority,
        Err(error) => {
            reader.fault(format!("SMTP_CA_FILE cannot be read: {error}"));
            None
        }
    };
    Some(MailSettings {
        host: host?,
        port: port?,
        credentials,
        tls: tls?,
        ca_certificate: authority,
        from: from?,
        pool_size: pool_size?,
        response_timeout: answer?,
    })
}

#[cfg(test)]
mod tests;
