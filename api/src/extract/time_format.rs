//! Times as text.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat};

/// A time of the records (UTC) as answers tell it.
pub(crate) fn rfc3339(at: NaiveDateTime) -> String {
    at.and_utc().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The beginning of what is asked for: a time by RFC 3339, or a day (UTC), which begins at midnight.
pub(crate) fn range_start(text: &str) -> Result<NaiveDateTime, String> {
    day(text).map_or_else(|| time(text), |day| in_range(day.and_time(NaiveTime::MIN)))
}

/// The end of what is asked for, which is no more part of it: a time by RFC 3339, or the end of a day (UTC).
pub(crate) fn range_end(text: &str) -> Result<NaiveDateTime, String> {
    let next = |day: NaiveDate| day.checked_add_days(Days::new(1)).unwrap_or(day);
    day(text).map_or_else(|| time(text), |day| in_range(next(day).and_time(NaiveTime::MIN)))
}

fn day(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

fn time(text: &str) -> Result<NaiveDateTime, String> {
    let time = DateTime::parse_from_rfc3339(text);
    time.map_err(|_| invalid()).and_then(|time| in_range(time.naive_utc()))
}

/// Within what the database can compare.
fn in_range(time: NaiveDateTime) -> Result<NaiveDateTime, String> {
    let year = time.format("%Y").to_string().parse::<u32>();
    if matches!(year, Ok(1000..=9999)) { Ok(time) } else { Err(invalid()) }
}

fn invalid() -> String {
    "Write a day as 2026-11-30, or a time as 2026-11-30T12:00:00Z".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_parsed_as_utc() {
        let text = |time: Result<NaiveDateTime, String>| rfc3339(time.expect("a time"));
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
