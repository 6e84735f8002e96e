//! All settings: the defaults in `defaults.toml`, overridden by environment variables. All invalid settings are
//! reported together.
//!
//! Each crate defines structs for the settings it uses. A field that holds a setting is renamed to its environment
//! variable. Every other field is a nested struct of settings.

mod check;
mod defaults;
mod entropy;
mod in_use;
mod production;
mod reader;

use diagflow_activities::WorkerSettings;
use diagflow_activities::loopai::{LoopAiSettings, RequestLimiter};
use diagflow_activities::mail::MailSettings;
use diagflow_activities::temporal::TemporalSettings;
use diagflow_api::{ApiSettings, DispatchSettings};
use diagflow_store::settings::{audit_keys, convert};
use diagflow_store::{ErasureSettings, Keyring, LoopAiLimits, PoolSettings};
pub(crate) use in_use::in_use;
use reader::Reader;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use std::ffi::OsString;
use std::net::SocketAddr;
use tracing_subscriber::EnvFilter;
use url::Url;

#[derive(Deserialize)]
pub(crate) struct Settings {
    #[serde(rename = "DIAGFLOW_ENV")]
    environment: Environment,
    pub(crate) log: LogSettings,
    #[serde(rename = "LISTEN_ADDRESS")]
    pub(crate) listen: SocketAddr,
    #[serde(rename = "WORKER_LISTEN_ADDRESS")]
    pub(crate) worker_listen: SocketAddr,
    pub(crate) api: ApiSettings,
    pub(crate) database: PoolSettings,
    #[serde(rename = "STORAGE_URL", deserialize_with = "storage_url")]
    pub(crate) storage: Url,
    pub(crate) erasure: ErasureSettings,
    pub(crate) temporal: TemporalSettings,
    pub(crate) dispatch: DispatchSettings,
    pub(crate) worker: WorkerSettings,
    pub(crate) loopai: LoopAiSettings,
    pub(crate) limits: LoopAiLimits,
    pub(crate) mail: MailSettings,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Environment {
    Development,
    Production,
}

/// The kind of process that reads the settings. In production, each process needs only its own secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Api,
    Worker,
}

#[derive(Deserialize)]
pub(crate) struct LogSettings {
    #[serde(rename = "LOG_LEVEL", deserialize_with = "log_filter")]
    pub(crate) level: String,
    #[serde(rename = "LOG_FORMAT")]
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Settings for commands that need only the database.
#[derive(Deserialize)]
pub(crate) struct DatabaseSettings {
    #[serde(rename = "DIAGFLOW_ENV")]
    environment: Environment,
    pub(crate) database: PoolSettings,
}

/// Settings for commands that need only the database and the audit log.
#[derive(Deserialize)]
pub(crate) struct AdminSettings {
    #[serde(rename = "DIAGFLOW_ENV")]
    environment: Environment,
    pub(crate) database: PoolSettings,
    #[serde(deserialize_with = "audit_keys")]
    pub(crate) audit_keys: Keyring,
}

/// Settings for commands that erase submissions.
#[derive(Deserialize)]
pub(crate) struct EraseSettings {
    pub(crate) admin: AdminSettings,
    #[serde(rename = "STORAGE_URL", deserialize_with = "storage_url")]
    pub(crate) storage: Url,
    pub(crate) erasure: ErasureSettings,
}

/// Settings for `diagflow move-temporal`.
#[derive(Deserialize)]
pub(crate) struct MoveSettings {
    pub(crate) admin: AdminSettings,
    pub(crate) temporal: TemporalSettings,
}

impl Settings {
    pub(crate) fn read(role: Role) -> anyhow::Result<Settings> {
        Self::from(role, std::env::vars_os())
    }

    fn from(
        role: Role,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> anyhow::Result<Settings> {
        read(environment, |reader, settings: &Settings| check::all(reader, settings, role))
    }

    /// Returns `WORKER_IMAGE_MEMORY_BYTES` or the memory needed for the largest possible submission, whichever is
    /// larger.
    pub(crate) fn image_memory(&self) -> u64 {
        let largest = self.api.max_file_bytes.saturating_mul(self.api.max_files);
        let largest = u64::try_from(largest).unwrap_or(u64::MAX);
        self.worker.image_memory.max(RequestLimiter::memory_for(largest))
    }
}

impl LogSettings {
    pub(crate) fn read() -> anyhow::Result<LogSettings> {
        read(std::env::vars_os(), |_, _| ())
    }
}

impl DatabaseSettings {
    pub(crate) fn read() -> anyhow::Result<DatabaseSettings> {
        read(std::env::vars_os(), |reader, settings: &DatabaseSettings| {
            check::database(reader, settings);
        })
    }
}

impl AdminSettings {
    pub(crate) fn read() -> anyhow::Result<AdminSettings> {
        read(std::env::vars_os(), |reader, settings: &AdminSettings| check::admin(reader, settings))
    }
}

impl EraseSettings {
    pub(crate) fn read() -> anyhow::Result<EraseSettings> {
        read(std::env::vars_os(), |reader, settings: &EraseSettings| {
            check::admin(reader, &settings.admin);
        })
    }
}

impl MoveSettings {
    pub(crate) fn read() -> anyhow::Result<MoveSettings> {
        read(std::env::vars_os(), |reader, settings: &MoveSettings| {
            check::admin(reader, &settings.admin);
        })
    }
}

fn read<T: DeserializeOwned>(
    environment: impl Iterator<Item = (OsString, OsString)>,
    check: impl FnOnce(&mut Reader, &T),
) -> anyhow::Result<T> {
    let mut reader = Reader::new(environment);
    let settings = reader.read()?;
    check(&mut reader, &settings);
    reader.finish()?;
    Ok(settings)
}

fn log_filter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    convert(deserializer, |text| EnvFilter::try_new(text).is_ok().then(|| text.to_owned()))
}

fn storage_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    convert(deserializer, |text| {
        let url: Url = text.parse().ok()?;
        let is_complete = match url.scheme() {
            "file" => url.to_file_path().is_ok(),
            "s3" => url.host().is_some(),
            _ => false,
        };
        is_complete.then_some(url)
    })
}

#[cfg(test)]
mod tests;
