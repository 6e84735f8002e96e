//! How many requests to LoopAI are under way at once in this process, and how much memory their images
//! take: a bound for each, because one request may carry a hundred megabytes and may last half a minute.

use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes of one permit.
const UNIT: u64 = 1024;
/// An image's bytes are held as they were read, in base64, and in the body that is sent: 1 + 4/3 + 4/3.
const COPIES: u64 = 4;
/// How long a request waits to be let in. Short, because it holds one of the worker's places meanwhile;
/// one that is turned away comes again as any attempt that failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets requests in.
pub struct Admission {
    places: Semaphore,
    memory: Semaphore,
    /// All permits of `memory`.
    whole: u32,
    patience: Duration,
}

/// A request that was let in; makes room when it is dropped.
pub(crate) struct Admitted<'a> {
    _place: SemaphorePermit<'a>,
    _memory: SemaphorePermit<'a>,
}

impl Admission {
    /// For a worker that works on `concurrency` activities at once, with `memory` bytes for images.
    pub fn new(concurrency: usize, memory: u64) -> Admission {
        let whole = permits(memory).max(1);
        Admission {
            // The other half is left for what is short: looks and e-mails.
            places: Semaphore::new((concurrency / 2).max(1)),
            memory: Semaphore::new(usize::try_from(whole).unwrap_or(Semaphore::MAX_PERMITS)),
            whole,
            patience: PATIENCE,
        }
    }

    /// The memory that a request with so many bytes of images takes.
    pub fn memory_for(image_bytes: u64) -> u64 {
        image_bytes.saturating_mul(COPIES)
    }

    /// Lets a request in; `None` when there is no room for too long. One that is larger than all of
    /// the memory gets all of it, since it could never be sent otherwise.
    pub(crate) async fn enter(&self, image_bytes: u64) -> Option<Admitted<'_>> {
        let wanted = permits(Self::memory_for(image_bytes)).min(self.whole);
        let enter = async {
            let place = self.places.acquire().await.ok()?;
            let memory = self.memory.acquire_many(wanted).await.ok()?;
            Some(Admitted { _place: place, _memory: memory })
        };
        tokio::time::timeout(self.patience, enter).await.ok()?
    }
}

fn permits(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn impatient(concurrency: usize, memory: u64) -> Admission {
        let patience = Duration::from_millis(20);
        Admission { patience, ..Admission::new(concurrency, memory) }
    }

    #[tokio::test]
    async fn half_of_the_places_are_left_for_looks_and_mail() {
        let admission = impatient(4, 512 * MIB);
        let first = admission.enter(1).await.expect("room");
        let _second = admission.enter(1).await.expect("room");
        assert!(admission.enter(1).await.is_none());
        drop(first);
        assert!(admission.enter(1).await.is_some());
    }

    #[tokio::test]
    async fn images_share_the_memory_with_all_their_copies() {
        let admission = impatient(100, 8 * MIB);
        let first = admission.enter(MIB).await.expect("room");
        let _second = admission.enter(MIB).await.expect("just room");
        assert!(admission.enter(1).await.is_none());
        assert!(admission.enter(0).await.is_some(), "links take none");
        drop(first);
        assert!(admission.enter(MIB).await.is_some());
    }

    #[tokio::test]
    async fn what_is_too_large_for_all_of_it_gets_in_alone() {
        let admission = impatient(100, 8 * MIB);
        let large = admission.enter(1000 * MIB).await.expect("room");
        assert!(admission.enter(1).await.is_none());
        drop(large);
        assert!(admission.enter(1).await.is_some());
    }
}
