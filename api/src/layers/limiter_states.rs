//! A state store shared by a rate limiter and its owner, which allows the owner to revert a count. `governor` does not
//! support this.

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::{DefaultKeyedStateStore, ShrinkableKeyedStateStore};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct SharedStates<K: Clone + Eq + Hash>(Arc<DefaultKeyedStateStore<K>>);

impl<K: Clone + Eq + Hash> SharedStates<K> {
    /// Makes a key's burst refill earlier by `duration`. Has no effect if the burst has already refilled.
    pub(super) fn shift_back(&self, key: &K, duration: Duration) {
        let earlier = |time: Nanos| time.saturating_sub(duration.into());
        let shifted = |time: Option<Nanos>| time.map(|time| ((), earlier(time))).ok_or(());
        // A key without a state has its full burst, so there is nothing to revert.
        self.0.measure_and_replace(key, shifted).ok();
    }
}

impl<K: Clone + Eq + Hash> Default for SharedStates<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash> Clone for SharedStates<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Clone + Eq + Hash> StateStore for SharedStates<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, decide)
    }
}

impl<K: Clone + Eq + Hash> ShrinkableKeyedStateStore<K> for SharedStates<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain_recent(drop_below);
    }

    fn shrink_to_fit(&self) {
        ShrinkableKeyedStateStore::shrink_to_fit(&*self.0);
    }

    fn len(&self) -> usize {
        ShrinkableKeyedStateStore::len(&*self.0)
    }

    fn is_empty(&self) -> bool {
        ShrinkableKeyedStateStore::is_empty(&*self.0)
    }
}
