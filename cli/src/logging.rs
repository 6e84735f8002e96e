//! Structured logs, as text or JSON.

mod temporal_outage;

use self::temporal_outage::TemporalOutage;
use crate::settings::{LogFormat, LogSettings};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Sets up logging for the process and installs a hook that logs panics.
pub(crate) fn init(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.level)?;
    // Colour codes are written only to a terminal.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_color);
    let outage = TemporalOutage::new();
    let outcome = match settings.format {
        LogFormat::Text => builder.finish().with(LocalActivityTasks).with(outage).try_init(),
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true);
            builder.finish().with(LocalActivityTasks).with(outage).try_init()
        }
    };
    outcome.map_err(|error| anyhow::anyhow!("cannot set up logging: {error}"))?;
    std::panic::set_hook(Box::new(on_panic));
    Ok(())
}

/// Suppresses the SDK's warning about workflow tasks that take more than 5 s (`TMPRL1104`), up to 9 s. During a long
/// local activity, such as a slow request to LoopAI, the SDK renews the task every 8 s, which is four fifths of its
/// timeout. A task that takes more than 9 s was not renewed in time, so its warning is logged.
struct LocalActivityTasks;

const TASK_DURATION: &str = "workflow_task_duration";
/// Longest duration in milliseconds of a task whose warning is suppressed.
const MAX_SUPPRESSED_MS: u64 = 9_000;

impl<S: Subscriber> Layer<S> for LocalActivityTasks {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if event.fields().all(|field| field.name() != TASK_DURATION) {
            return true;
        }
        let mut duration = TaskDuration(None);
        event.record(&mut duration);
        duration.0.is_none_or(|milliseconds| milliseconds > MAX_SUPPRESSED_MS)
    }
}

/// Reads a workflow task's duration in milliseconds.
struct TaskDuration(Option<u64>);

impl Visit for TaskDuration {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == TASK_DURATION {
            self.0 = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// Logs only a panic's location because its message may contain patient data.
fn on_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(location, "panicked");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        pub(super) fn text(&self) -> String {
            let written = self.0.lock().expect("not poisoned").clone();
            String::from_utf8(written).expect("text")
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_workflow_tasks_that_miss_their_renewal_are_reported_as_slow() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber.with(LocalActivityTasks), || {
            tracing::warn!(workflow_task_duration = 8_100_u64, "[TMPRL1104] renewed");
            tracing::warn!(workflow_task_duration = 9_900_u64, "[TMPRL1104] late");
            tracing::warn!("another warning");
        });
        let text = log.text();
        assert!(!text.contains("renewed"), "{text}");
        assert!(text.contains("late") && text.contains("another warning"), "{text}");
    }

    #[test]
    fn a_panic_is_logged_with_its_location_but_without_its_message() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(on_panic));
        let outcome = tracing::subscriber::with_default(subscriber, || {
            std::panic::catch_unwind(|| panic!("ana@example.org is not expected"))
        });
        std::panic::set_hook(usual);
        assert!(outcome.is_err());
        let text = log.text();
        let line: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
        let location = line["fields"]["location"].as_str().expect("a location");
        assert!(location.contains("logging.rs:"), "{location}");
        assert!(!text.contains("ana@"), "{text}");
    }
}
