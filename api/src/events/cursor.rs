//! Where the tail of the events table stands. Row numbers are given out before the commit, so a lower
//! number can appear after a higher one: numbers that were passed over are remembered for a while
//! (*holes*) and asked for again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a number that was passed over may still appear. Longer than any of our transactions; what
/// appears later is found by the listeners' own look at each heartbeat.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Most holes asked for at once, so that the question stays short. A cluster that gives out every
/// seventh number makes many that will never appear.
pub(super) const MOST_HOLES: i64 = 1000;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Cursor {
    position: i64,
    holes: BTreeMap<i64, Instant>,
}

impl Cursor {
    /// Begins behind row `newest`, looking a little further back: a lower number may not have
    /// appeared yet.
    pub(crate) fn behind(newest: i64) -> Self {
        Self { position: (newest - MOST_HOLES).max(0), holes: BTreeMap::new() }
    }

    /// All rows up to this one were seen, or are holes.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    /// The numbers that were passed over.
    pub(crate) fn holes(&self) -> Vec<i64> {
        self.holes.keys().copied().collect()
    }

    /// Takes in what was read: row numbers, in order.
    pub(crate) fn advance(&mut self, rows: impl IntoIterator<Item = i64>, now: Instant) {
        for row in rows {
            if row <= self.position {
                self.holes.remove(&row);
                continue;
            }
            let first = (self.position + 1).max(row - MOST_HOLES);
            self.holes.extend((first..row).map(|hole| (hole, now)));
            self.position = row;
        }
        let oldest = self.position - MOST_HOLES;
        self.holes.retain(|hole, since| *hole > oldest && now - *since < PATIENCE);
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
    fn a_number_that_was_passed_over_is_asked_for_until_it_appears() {
        let (mut cursor, now) = at(&[1, 2, 5]);
        assert_eq!((cursor.position(), cursor.holes()), (5, vec![3, 4]));
        cursor.advance([3, 6], now);
        assert_eq!((cursor.position(), cursor.holes()), (6, vec![4]));
        cursor.advance([4], now);
        assert_eq!((cursor.position(), cursor.holes()), (6, vec![]));
    }

    #[test]
    fn a_number_that_never_appears_is_forgotten() {
        let (mut cursor, now) = at(&[1, 3]);
        cursor.advance([], now + PATIENCE - Duration::from_millis(1));
        assert_eq!(cursor.holes(), [2]);
        cursor.advance([], now + PATIENCE);
        assert!(cursor.holes().is_empty());
    }

    #[test]
    fn the_tail_begins_a_little_before_the_end() {
        assert_eq!(Cursor::behind(5).position(), 0);
        assert_eq!(Cursor::behind(5000).position(), 5000 - MOST_HOLES);
    }

    #[test]
    fn a_leap_in_the_numbers_makes_no_endless_question() {
        let (cursor, _) = at(&[1, 1_000_000_000]);
        let holes = cursor.holes();
        assert!(holes.len() <= MOST_HOLES as usize);
        assert_eq!(holes.last(), Some(&999_999_999), "the newest holes are the likely ones");
    }
}
