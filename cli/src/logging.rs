//! Structured logs: lines for people, or JSON for machines.

use crate::settings::{LogFormat, LogSettings};
use tracing_subscriber::EnvFilter;

/// Sets logging up for the process.
///
/// # Errors
/// When the level is no filter, or logging was set up before.
pub(crate) fn init(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let outcome = match settings.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    outcome.map_err(|error| anyhow::anyhow!("cannot set logging up: {error}"))
}
