//! A cursor identifies a page by the submission before or after it (keyset pagination). Pages therefore stay correct
//! while submissions change, and reading the last page is as fast as reading the first. Cursors are opaque to clients.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::{PagePosition, Sort, SortBy, SortKey, SubmissionId, UtcTime};
use serde::{Deserialize, Serialize};

/// Contents of a cursor, which are encoded as JSON and then as base64url.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CursorData {
    by: By,
    descending: bool,
    to: Direction,
    /// Unix time in microseconds.
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

pub(super) fn after(sort: Sort, key: SortKey) -> String {
    encode(sort, Direction::After, key)
}

pub(super) fn before(sort: Sort, key: SortKey) -> String {
    encode(sort, Direction::Before, key)
}

fn encode(sort: Sort, to: Direction, key: SortKey) -> String {
    let Sort { by, descending } = sort;
    let at = key.at.micros();
    let data = CursorData { by: by.into(), descending, to, at, id: key.id };
    let json = serde_json::to_vec(&data).expect("a cursor can be encoded as JSON");
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

/// Returns `None` if `text` is not a cursor, or if it belongs to a list with a different sort order.
pub(super) fn decode(text: &str, sort: Sort) -> Option<PagePosition> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let data: CursorData = serde_json::from_slice(&json).ok()?;
    if data.by != sort.by.into() || data.descending != sort.descending {
        return None;
    }
    let key = SortKey { at: UtcTime::from_micros(data.at)?, id: data.id };
    Some(match data.to {
        Direction::After => PagePosition::After(key),
        Direction::Before => PagePosition::Before(key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_valid_only_for_its_own_sort_order() {
        let at = UtcTime::from_micros(1_700_000_000_123_456).expect("a time");
        let key = SortKey { at, id: SubmissionId::new() };
        let sort = Sort { by: SortBy::Updated, descending: false };
        assert_eq!(decode(&after(sort, key), sort), Some(PagePosition::After(key)));
        assert_eq!(decode(&before(sort, key), sort), Some(PagePosition::Before(key)));
        assert_eq!(decode(&after(sort, key), Sort { descending: true, ..sort }), None);
        assert_eq!(decode(&after(sort, key), Sort { by: SortBy::Created, ..sort }), None);
        let changed = BASE64_URL_SAFE_NO_PAD.encode(r#"{"by":"updated","descending":false}"#);
        for wrong in ["", "x", "!", changed.as_str(), &after(sort, key)[1..]] {
            assert_eq!(decode(wrong, sort), None, "{wrong:?}");
        }
    }
}
