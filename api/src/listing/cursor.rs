//! Cursors: where a page of a list begins, by the submission next to it. They stay right while
//! submissions come and go, and are as fast on the last page as on the first. Opaque to clients.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::DateTime;
use diagflow_store::{Key, Place, Sort, SortBy, SubmissionId};
use serde::{Deserialize, Serialize};

/// As it travels: JSON in base64url.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    by: By,
    descending: bool,
    to: Direction,
    /// Microseconds since 1970 (UTC).
    at: i64,
    id: SubmissionId,
}

#[derive(Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum By {
    Created,
    Updated,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Direction {
    After,
    Before,
}

impl From<SortBy> for By {
    fn from(by: SortBy) -> Self {
        match by {
            SortBy::Created => By::Created,
            SortBy::Updated => By::Updated,
        }
    }
}

/// The cursor of the page after this submission.
pub(super) fn after(sort: Sort, key: Key) -> String {
    written(sort, Direction::After, key)
}

/// The cursor of the page before this submission.
pub(super) fn before(sort: Sort, key: Key) -> String {
    written(sort, Direction::Before, key)
}

fn written(sort: Sort, to: Direction, key: Key) -> String {
    let Sort { by, descending } = sort;
    let at = key.at.and_utc().timestamp_micros();
    let written = Written { by: by.into(), descending, to, at, id: key.id };
    let json = serde_json::to_vec(&written).expect("words and numbers become JSON");
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

/// Reads a cursor of a list with this sort; `None` when it is none.
pub(super) fn read(text: &str, sort: Sort) -> Option<Place> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let written: Written = serde_json::from_slice(&json).ok()?;
    if written.by != sort.by.into() || written.descending != sort.descending {
        return None;
    }
    let key = Key { at: DateTime::from_timestamp_micros(written.at)?.naive_utc(), id: written.id };
    Some(match written.to {
        Direction::After => Place::After(key),
        Direction::Before => Place::Before(key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_fits_its_own_sort_only() {
        let at =
            DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a time").naive_utc();
        let key = Key { at, id: SubmissionId::new() };
        let sort = Sort { by: SortBy::Updated, descending: false };
        assert_eq!(read(&after(sort, key), sort), Some(Place::After(key)));
        assert_eq!(read(&before(sort, key), sort), Some(Place::Before(key)));
        assert_eq!(read(&after(sort, key), Sort { descending: true, ..sort }), None);
        assert_eq!(read(&after(sort, key), Sort { by: SortBy::Created, ..sort }), None);
        let changed = BASE64_URL_SAFE_NO_PAD.encode(r#"{"by":"updated","descending":false}"#);
        for wrong in ["", "x", "!", changed.as_str(), &after(sort, key)[1..]] {
            assert_eq!(read(wrong, sort), None, "{wrong:?}");
        }
    }
}
