use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Utc};
use diagflow_store::UtcTime;

pub(crate) fn rfc3339(at: impl Into<UtcTime>) -> String {
    at.into().to_string()
}

/// Parses the start of a range: an RFC 3339 time, or the start of a day (UTC).
pub(crate) fn range_start(text: &str) -> Result<UtcTime, String> {
    day(text).map_or_else(|| time(text), |day| in_range(midnight(day)))
}

/// Parses the end of a range (exclusive): an RFC 3339 time, or the end of a day (UTC).
pub(crate) fn range_end(text: &str) -> Result<UtcTime, String> {
    let next = |day: NaiveDate| day.checked_add_days(Days::new(1)).unwrap_or(day);
    day(text).map_or_else(|| time(text), |day| in_range(midnight(next(day))))
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

fn day(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

fn time(text: &str) -> Result<UtcTime, String> {
    let time = DateTime::parse_from_rfc3339(text);
    time.map_err(|_| invalid()).and_then(|time| in_range(time.to_utc()))
}

/// Rejects times outside the range that the database supports.
fn in_range(time: DateTime<Utc>) -> Result<UtcTime, String> {
    if matches!(time.year(), 1000..=9999) { Ok(time.into()) } else { Err(invalid()) }
}

fn invalid() -> String {
    "Write a day as 2026-11-30, or a time as 2026-11-30T12:00:00Z".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_parsed_as_utc() {
        let text = |time: Result<UtcTime, String>| rfc3339(time.expect("a time"));
        assert_eq!(text(range_start("2026-11-30")), "2026-11-30T00:00:00.000Z");
        assert_eq!(text(range_end("2026-11-30")), "2026-12-01T00:00:00.000Z");
        for read in [range_start, range_end] {
            assert_eq!(text(read("2026-11-30T12:00:00+02:00")), "2026-11-30T10:00:00.000Z");
            for wrong in ["yesterday", "2026-13-01", "30.11.2026", "+12026-01-01", "0001-01-01"] {
                assert!(read(wrong).is_err(), "{wrong}");
            }
        }
    }
}
