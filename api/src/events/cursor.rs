//! Position in the events table. Row numbers are assigned before commit, so a lower number can appear after a higher
//! one. Skipped numbers (*gaps*) are therefore queried again for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Maximum time for which a gap is queried, which is longer than any of our transactions. A row that appears even later
/// is found at each stream's next heartbeat.
pub(super) const GAP_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum number of gaps, which bounds the length of the query. For example, a database cluster that assigns only
/// every seventh number leaves many gaps that are never filled.
pub(super) const MAX_GAPS: i64 = 1000;

#[derive(Debug)]
pub(crate) struct Cursor {
    position: i64,
    gaps: BTreeMap<i64, Instant>,
}

impl Cursor {
    /// Starts slightly before row `newest`, because rows with lower numbers may not be visible yet.
    pub(crate) fn behind(newest: i64) -> Self {
        Self { position: (newest - MAX_GAPS).max(0), gaps: BTreeMap::new() }
    }

    /// Returns the row number up to which every row has been read, is a gap, or is no longer expected.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    pub(crate) fn gaps(&self) -> Vec<i64> {
        self.gaps.keys().copied().collect()
    }

    /// Records the numbers of the rows that were read. They must be in ascending order.
    pub(crate) fn advance(&mut self, rows: impl IntoIterator<Item = i64>, now: Instant) {
        for row in rows {
            if row <= self.position {
                self.gaps.remove(&row);
                continue;
            }
            let first = (self.position + 1).max(row - MAX_GAPS);
            self.gaps.extend((first..row).map(|gap| (gap, now)));
            self.position = row;
        }
        let oldest = self.position - MAX_GAPS;
        self.gaps.retain(|gap, since| *gap > oldest && now - *since < GAP_TIMEOUT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rows: &[i64]) -> (Cursor, Instant) {
        let now = Instant::now();
        let mut cursor = Cursor::behind(0);
        cursor.advance(rows.iter().copied(), now);
        (cursor, now)
    }

    #[test]
    fn a_gap_is_queried_until_it_is_filled() {
        let (mut cursor, now) = at(&[1, 2, 5]);
        assert_eq!((cursor.position(), cursor.gaps()), (5, vec![3, 4]));
        cursor.advance([3, 6], now);
        assert_eq!((cursor.position(), cursor.gaps()), (6, vec![4]));
        cursor.advance([4], now);
        assert_eq!((cursor.position(), cursor.gaps()), (6, vec![]));
    }

    #[test]
    fn a_gap_that_is_never_filled_expires() {
        let (mut cursor, now) = at(&[1, 3]);
        cursor.advance([], now + GAP_TIMEOUT - Duration::from_millis(1));
        assert_eq!(cursor.gaps(), [2]);
        cursor.advance([], now + GAP_TIMEOUT);
        assert!(cursor.gaps().is_empty());
    }

    #[test]
    fn polling_starts_slightly_before_the_newest_row() {
        assert_eq!(Cursor::behind(5).position(), 0);
        assert_eq!(Cursor::behind(5000).position(), 5000 - MAX_GAPS);
    }

    #[test]
    fn the_number_of_gaps_is_bounded() {
        let (cursor, _) = at(&[1, 1_000_000_000]);
        let gaps = cursor.gaps();
        assert!(gaps.len() <= MAX_GAPS as usize);
        assert_eq!(gaps.last(), Some(&999_999_999), "the newest gaps are retained");
    }
}
