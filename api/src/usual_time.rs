//! The time that patients usually wait for their result.

use diagflow_store::Store;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time for which the usual time is cached.
const CACHED_FOR: Duration = Duration::from_secs(60);
/// Time until the next query if the usual time is not known: the last query failed, found too few submissions, or has
/// not finished yet.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
/// Number of recent submissions that the usual time is computed from.
const SAMPLE: i64 = 200;
/// The time of fewer submissions says little about the next one.
const MIN_SAMPLE: usize = 3;

/// The median time from the receipt of recent submissions to their results.
#[derive(Debug, Default)]
pub(crate) struct UsualTime(Mutex<Cached>);

#[derive(Debug, Clone, Copy, Default)]
struct Cached {
    seconds: Option<u64>,
    expires: Option<Instant>,
}

impl UsualTime {
    /// Returns the median in seconds, or `None` if there are too few recent results. The value is rounded so that the
    /// `ETag` of a status rarely changes, and rounded up so that at least half of the patients wait no longer. If the
    /// database does not respond, returns the previous value.
    pub(crate) async fn seconds(&self, store: &Store) -> Option<u64> {
        let previous = match self.claim_query() {
            Query::Cached(seconds) => return seconds,
            Query::Due(previous) => previous,
        };
        let (seconds, valid_for) = match store.time_to_result(SAMPLE).await {
            Ok(times) => {
                let times = times.filter(|times| times.submissions >= MIN_SAMPLE);
                let seconds = times.map(|times| rounded_up(times.median));
                (seconds, if seconds.is_some() { CACHED_FOR } else { UNKNOWN_FOR })
            }
            Err(error) => {
                tracing::warn!(error = error.kind(), "cannot read the usual time");
                (previous, UNKNOWN_FOR)
            }
        };
        *self.cached() = Cached { seconds, expires: Some(Instant::now() + valid_for) };
        seconds
    }

    /// Of several concurrent requests, only one queries the database. The others get the previous value.
    fn claim_query(&self) -> Query {
        let mut cached = self.cached();
        if cached.expires.is_some_and(|expires| Instant::now() < expires) {
            return Query::Cached(cached.seconds);
        }
        cached.expires = Some(Instant::now() + UNKNOWN_FOR);
        Query::Due(cached.seconds)
    }

    fn cached(&self) -> MutexGuard<'_, Cached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Query {
    Cached(Option<u64>),
    /// The query is due. Contains the previous value.
    Due(Option<u64>),
}

/// Rounds up to multiples of ten seconds, half a minute or five minutes, depending on the time.
fn rounded_up(time: Duration) -> u64 {
    let step = match time.as_secs() {
        0..60 => 10,
        60..600 => 30,
        _ => 300,
    };
    let seconds = time.as_millis().div_ceil(1000).max(1) as u64;
    seconds.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::unreachable_store;

    #[test]
    fn the_usual_time_is_rounded_up() {
        let seconds = |millis| rounded_up(Duration::from_millis(millis));
        assert_eq!([0, 1, 10_000, 10_001, 59_999].map(seconds), [10, 10, 10, 20, 60]);
        assert_eq!([60_000, 60_001, 100_000, 590_000].map(seconds), [60, 90, 120, 600]);
        assert_eq!([600_000, 601_000, 3_600_000].map(seconds), [600, 900, 3_600]);
    }

    #[tokio::test]
    async fn an_error_is_cached_and_does_not_replace_the_previous_value() {
        let (usual, store) = (UsualTime::default(), unreachable_store().await);
        assert_eq!(usual.seconds(&store).await, None);
        assert_eq!(usual.claim_query(), Query::Cached(None));

        *usual.cached() = Cached { seconds: Some(30), expires: None };

        assert_eq!(usual.seconds(&store).await, Some(30));
        assert_eq!(usual.claim_query(), Query::Cached(Some(30)));
    }

    #[test]
    fn only_one_of_several_concurrent_requests_queries_the_database() {
        let usual = UsualTime::default();
        usual.cached().seconds = Some(30);
        let queries = [(); 3].map(|()| usual.claim_query());
        assert_eq!(
            queries,
            [Query::Due(Some(30)), Query::Cached(Some(30)), Query::Cached(Some(30))]
        );
    }
}
