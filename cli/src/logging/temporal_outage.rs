//! Limits log entries about an unavailable Temporal server to one per cause per minute.
//!
//! The SDK logs every retry of every call, and the background tasks log every run and every e-mail that they cannot
//! pass to Temporal. During an outage, these entries would make all others hard to find.

use crate::once_per_minute::OncePerMinute;
use std::fmt::{Debug, Write};
use std::sync::{Mutex, PoisonError};
use temporalio_client::tonic::Code;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// gRPC codes of calls that got no response from the server. Each code counts as one cause.
const NO_ANSWER: [Code; 4] =
    [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Unknown];

pub(super) struct TemporalOutage {
    logged: Mutex<OncePerMinute<Code>>,
}

impl TemporalOutage {
    pub(super) fn new() -> Self {
        Self { logged: Mutex::new(OncePerMinute::new()) }
    }
}

impl<S: Subscriber> Layer<S> for TemporalOutage {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if *event.metadata().level() > Level::WARN {
            return true;
        }
        let mut error = ErrorText::default();
        event.record(&mut error);
        let Some(code) = NO_ANSWER.into_iter().find(|code| error.has(*code)) else { return true };
        self.logged.lock().unwrap_or_else(PoisonError::into_inner).admits(code)
    }
}

/// The `error` field of an event.
#[derive(Default)]
struct ErrorText(String);

impl ErrorText {
    /// Returns whether the error is or contains a gRPC status with this code, in either `Display` or `Debug` format.
    fn has(&self, code: Code) -> bool {
        self.0.contains(&format!("code: {code:?},")) || self.0.contains(&format!("code: '{code}'"))
    }
}

impl Visit for ErrorText {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "error" {
            write!(self.0, "{value:?}").expect("writing to a string never fails");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::tests::Log;
    use temporalio_client::tonic::Status;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn an_outage_is_logged_once_per_cause_but_other_problems_every_time() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber.with(TemporalOutage::new()), || {
            let refused = Status::unavailable("tcp connect error");
            for attempt in 5..10 {
                tracing::warn!(error = ?refused, "gRPC call retried {attempt} times");
                tracing::error!(error = ?refused, "Error while polling");
                tracing::warn!(error = %refused, "run not started yet");
                tracing::warn!(error = ?Status::cancelled("Timeout expired"), "no response");
                tracing::warn!(error = %Status::not_found("no such run"), "another problem");
                tracing::warn!(error = "unavailable", "a database problem");
            }
        });
        let text = log.text();
        let count = |part: &str| text.matches(part).count();
        assert_eq!(count("tcp connect error"), 1, "{text}");
        assert_eq!(count("no response"), 1, "{text}");
        assert_eq!((count("another problem"), count("a database problem")), (5, 5), "{text}");
    }
}
