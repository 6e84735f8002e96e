//! Position in the events table. Row numbers are assigned before the commit, so a lower number can appear after a
//! higher one: skipped numbers (*gaps*) are queried again for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Longer than any of our transactions. Rows that appear even later are found at the next heartbeat of each
/// stream.
pub(super) const GAP_TIMEOUT: Duration = Duration::from_secs(30);

/// Limits the length of the query. A database cluster that assigns every seventh number leaves many gaps that are
/// never filled.
pub(super) const MAX_GAPS: i64 = 1000;

#[derive(Debug)]
pub(crate) struct Cursor {
    position: i64,
    gaps: BTreeMap<i64, Instant>,
}

impl Cursor {
    /// Starts a little before row `newest`, because a lower number may not be visible yet.
    pub(crate) fn behind(newest: i64) -> Self {
        Self { position: (newest - MAX_GAPS).max(0), gaps: BTreeMap::new() }
    }

    /// All rows up to this one were read, or are gaps.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    pub(crate) fn gaps(&self) -> Vec<i64> {
        self.gaps.keys().copied().collect()
    }

    /// Records the numbers of the rows that were read, in ascending order.
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
    fn polling_starts_a_little_before_the_newest_row() {
        assert_eq!(Cursor::behind(5).position(), 0);
        assert_eq!(Cursor::behind(5000).position(), 5000 - MAX_GAPS);
    }

    #[test]
    fn the_number_of_gaps_is_bounded() {
        let (cursor, _) = at(&[1, 1_000_000_000]);
        let gaps = cursor.gaps();
        assert!(gaps.len() <= MAX_GAPS as usize);
        assert_eq!(gaps.last(), Some(&999_999_999), "the newest gaps are kept");
    }
}
