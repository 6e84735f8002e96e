//! Times as answers tell them.

use chrono::{NaiveDateTime, SecondsFormat};

/// A time of the records (UTC), by RFC 3339 with milliseconds.
pub(crate) fn text(at: NaiveDateTime) -> String {
    at.and_utc().to_rfc3339_opts(SecondsFormat::Millis, true)
}
