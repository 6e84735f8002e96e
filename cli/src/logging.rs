//! Structured logs, as text or JSON.

use crate::settings::{LogFormat, LogSettings};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use tracing_subscriber::EnvFilter;

/// Sets up logging for the process, including its panics.
pub(crate) fn init(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.level)?;
    // Only a terminal interprets colour codes.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_color);
    let outcome = match settings.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    outcome.map_err(|error| anyhow::anyhow!("cannot set up logging: {error}"))?;
    std::panic::set_hook(Box::new(on_panic));
    Ok(())
}

/// Logs the location only: the message may contain a patient's data.
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
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
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
        let text = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("text");
        let line: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
        let location = line["fields"]["location"].as_str().expect("a location");
        assert!(location.contains("logging.rs:"), "{location}");
        assert!(!text.contains("ana@"), "{text}");
    }
}
