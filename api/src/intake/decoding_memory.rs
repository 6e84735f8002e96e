//! Limits the total memory used by photos that are being decoded. Decoding a file of a few megabytes can take hundreds
//! of megabytes.

use crate::error::{ApiError, ApiResult};
use crate::intake::validation_errors::MAX_PIXELS;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Capacity in bytes, which is enough for any JPEG or PNG, and for most WebP files, up to the maximum size. WebP files
/// that need more memory are rejected.
pub(super) const CAPACITY: u64 = MAX_PIXELS * 6;

/// One permit per free byte. Photos receive memory in the order in which they requested it, so small photos cannot
/// starve a large one.
#[derive(Clone)]
pub(super) struct DecodingMemory(Arc<Semaphore>);

impl Default for DecodingMemory {
    fn default() -> Self {
        Self::new(CAPACITY as usize)
    }
}

impl DecodingMemory {
    fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Waits until enough memory is free. `bytes` must not exceed the capacity.
    pub(super) async fn reserve(&self, bytes: u64) -> ApiResult<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).map_err(|_| ApiError::Busy)?;
        let reserved = self.0.clone().acquire_many_owned(bytes).await;
        reserved.map_err(|_| ApiError::internal("the semaphore was closed"))
    }

    /// Returns `None` if not enough memory is free, or if other photos are waiting for memory.
    pub(super) fn try_reserve(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).ok()?;
        self.0.clone().try_acquire_many_owned(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_photo_waits_until_enough_memory_is_free() {
        let memory = DecodingMemory::new(10);
        let first = memory.reserve(4).await.expect("free");
        let mut second = Box::pin(memory.reserve(7));
        assert!(second.as_mut().now_or_never().is_none(), "only 6 bytes are free");
        assert!(memory.reserve(1).now_or_never().is_none(), "the second photo is first in line");
        drop(first);
        let second = second.await.expect("free again");
        drop(memory.reserve(3).await.expect("the rest is free"));
        drop(second);
        drop(memory.reserve(10).await.expect("all memory is free again"));
    }
}
