//! Bounds the memory of all uploads in progress. Counted by what has arrived, not by how many
//! requests there are: a slow phone with one small photo must not keep others out.

use super::draft::MOST_IMAGES;
use super::receive::ESCAPED_JSON_COPIES;
use crate::error::ApiError;
use crate::settings::ApiSettings;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one permit.
const UNIT: usize = 1024;

/// The memory that all uploads share.
pub(crate) struct Memory(Arc<Semaphore>);

impl Memory {
    /// Shares out `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS))))
    }

    /// What the largest possible submission takes: with less, it could never be sent.
    pub(crate) fn largest(settings: &ApiSettings) -> usize {
        debug_assert!(settings.max_files <= MOST_IMAGES);
        settings.max_body().saturating_mul(ESCAPED_JSON_COPIES).saturating_add(UNIT)
    }

    /// A share for one upload, empty at first.
    pub(crate) fn share(&self) -> Reserved {
        Reserved { memory: self.0.clone(), permits: None, bytes: 0 }
    }
}

/// What one upload takes; given back when it is dropped.
pub(crate) struct Reserved {
    memory: Arc<Semaphore>,
    permits: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Reserved {
    /// Takes `more` bytes.
    ///
    /// # Errors
    /// [`ApiError::Busy`] when they are not free. Waiting for them could last for ever, when all
    /// uploads wait for one another.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), ApiError> {
        self.bytes += more;
        let held = self.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = self.bytes.div_ceil(UNIT).saturating_sub(held);
        let missing = u32::try_from(missing).map_err(|_| ApiError::Busy)?;
        let taken =
            self.memory.clone().try_acquire_many_owned(missing).map_err(|_| ApiError::Busy)?;
        match &mut self.permits {
            Some(permits) => permits.merge(taken),
            none => *none = Some(taken),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_upload_takes_another_cannot_have_until_it_ends() {
        let memory = Memory::new(10 * UNIT);
        let (mut first, mut second) = (memory.share(), memory.share());
        first.grow(1).expect("free");
        first.grow(6 * UNIT).expect("free");
        second.grow(3 * UNIT).expect("just free");
        assert!(matches!(second.grow(1), Err(ApiError::Busy)));
        drop(first);
        second.grow(1).expect("free again");
    }
}
