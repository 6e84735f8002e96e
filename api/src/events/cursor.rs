//! Where the tail of the events table stands. Row numbers are given out before the commit, so a lower
//! number can appear after a higher one: numbers that were passed over are remembered for a while
//! (*holes*) and asked for again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a number that was passed over may still appear. Longer than any of our transactions; what
/// appears later is found by the listeners' own look at each heartbeat.
pub(super) const GAP_TIMEOUT: Duration = Duration::from_secs(30);

/// Most holes asked for at once, so that the question stays short. A cluster that gives out every
/// seventh number makes many that will never appear.
pub(super) const MAX_GAPS: i64 = 1000;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Cursor {
    position: i64,
    gaps: BTreeMap<i64, Instant>,
}

impl Cursor {
    /// Begins behind row `newest`, looking a little further back: a lower number may not have
    /// appeared yet.
    pub(crate) fn behind(newest: i64) -> Self {
        Self { position: (newest - MAX_GAPS).max(0), gaps: BTreeMap::new() }
    }

    /// All rows up to this one were seen, or are holes.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    /// The numbers that were passed over.
    pub(crate) fn gaps(&self) -> Vec<i64> {
        self.gaps.keys().copied().collect()
    }

    /// Takes in what was read: row numbers, in order.
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
        assert_eq!(gaps.last(), Some(&999_999_999), "the newest holes are the likely ones");
    }
}
