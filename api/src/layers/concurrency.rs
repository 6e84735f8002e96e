//! Limits the concurrent uses of a resource, such as connections, per key, such as a client.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) struct ConcurrencyLimit<K> {
    max: usize,
    counts: Counts<K>,
}

struct Counts<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One use of the resource, which counts towards the limit until it is dropped.
#[must_use]
pub(crate) struct ConcurrencyPermit<K: Eq + Hash> {
    key: K,
    counts: Counts<K>,
}

impl<K: Copy + Eq + Hash> ConcurrencyLimit<K> {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, counts: Counts(Arc::default()) }
    }

    /// Returns `None` if this key has reached its limit.
    pub(crate) fn acquire(&self, key: K) -> Option<ConcurrencyPermit<K>> {
        let mut counts = self.counts.lock();
        let count = counts.get(&key).copied().unwrap_or(0);
        if count >= self.max {
            return None;
        }
        counts.insert(key, count + 1);
        Some(ConcurrencyPermit { key, counts: self.counts.clone() })
    }
}

impl<K> Counts<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        // A panic cannot leave the counts inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for Counts<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash> Drop for ConcurrencyPermit<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_limit() {
        let limit = ConcurrencyLimit::new(2);
        let (first, second) = (limit.acquire(1), limit.acquire(1));
        assert!(first.is_some() && second.is_some());
        assert!(limit.acquire(1).is_none());
        assert!(limit.acquire(2).is_some(), "another key");
        drop(first);
        let third = limit.acquire(1);
        assert!(third.is_some(), "a permit is available again");
        drop((second, third));
        assert!(limit.counts.lock().is_empty(), "no keys remain");
    }
}
