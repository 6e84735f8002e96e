//! Bounds the memory of all uploads in progress. Counted by what has arrived, not by how many
//! requests there are: a slow phone with one small photo must not keep others out. One client gets at most
//! half, so that a flood from one address leaves room for the others.

use crate::error::ApiError;
use crate::intake::draft::MAX_IMAGES;
use crate::settings::ApiSettings;
use bytes::Bytes;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much memory JSON takes, in lengths of its body: for a while, the body, an image's digits without
/// white space and the bytes decoded from them exist together.
pub(super) const JSON_COPIES: usize = 3;
/// The same where texts cannot be borrowed from the body, because they have escapes: some languages
/// write `/`, a digit of base64, as `\/`.
const ESCAPED_JSON_COPIES: usize = JSON_COPIES + 1;

/// The memory that all uploads share.
#[derive(Clone)]
pub(crate) struct UploadMemory {
    /// Bytes, of all and of one client.
    limit: usize,
    limit_per_client: usize,
    used: Arc<Mutex<Used>>,
}

/// Bytes that are in use.
#[derive(Default)]
struct Used {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

impl UploadMemory {
    /// `UPLOAD_MEMORY_BYTES`, but at least twice what the largest possible submission takes: with less, it
    /// could never be sent, or would leave nothing to others.
    pub(crate) fn for_uploads(settings: &ApiSettings) -> Self {
        debug_assert!(settings.max_files <= MAX_IMAGES);
        let largest = settings.max_body().saturating_mul(ESCAPED_JSON_COPIES);
        Self::new(settings.upload_memory.max(largest.saturating_mul(2)))
    }

    /// Shares out `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { limit: bytes, limit_per_client: bytes / 2, used: Arc::default() }
    }

    /// A share for one upload of a client ([`crate::extract::client_info::ClientInfo::key`]), empty at first.
    pub(crate) fn reserve(&self, client: IpAddr) -> MemoryReservation {
        MemoryReservation { memory: self.clone(), client, bytes: 0 }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        // Nothing panics between two changes that belong together.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one upload takes; given back when it is dropped. See [`MemoryReservation::attach_to`] for the time after it was read.
pub(crate) struct MemoryReservation {
    memory: UploadMemory,
    client: IpAddr,
    bytes: usize,
}

impl MemoryReservation {
    /// Takes `more` bytes.
    ///
    /// # Errors
    /// [`ApiError::Busy`] when they are not free. Waiting for them could last for ever, when all
    /// uploads wait for one another.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), ApiError> {
        let UploadMemory { limit, limit_per_client, .. } = self.memory;
        let mut used = self.memory.used();
        let by_client = used.by_client.get(&self.client).copied().unwrap_or(0);
        let fits = used.all.saturating_add(more) <= limit
            && by_client.saturating_add(more) <= limit_per_client;
        if !fits {
            return Err(ApiError::Busy);
        }
        used.all += more;
        used.by_client.insert(self.client, by_client + more);
        drop(used);
        self.bytes += more;
        Ok(())
    }
}

impl MemoryReservation {
    /// Gives the share to the bytes that were read: it is given back once nobody has any of them any more. A
    /// storage that was told to write them may have them long after its caller has stopped waiting.
    pub(crate) fn attach_to<'a>(self, all: impl IntoIterator<Item = &'a mut Bytes>) {
        let reservation = Arc::new(self);
        for bytes in all {
            let held =
                TrackedBytes { bytes: std::mem::take(bytes), _reservation: reservation.clone() };
            *bytes = Bytes::from_owner(held);
        }
    }
}

/// Bytes with the share of their upload.
struct TrackedBytes {
    bytes: Bytes,
    _reservation: Arc<MemoryReservation>,
}

impl AsRef<[u8]> for TrackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        let mut used = self.memory.used();
        used.all -= self.bytes;
        if let Some(by_client) = used.by_client.get_mut(&self.client) {
            *by_client -= self.bytes;
            if *by_client == 0 {
                used.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn client(number: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, number).into()
    }

    #[test]
    fn reserved_memory_is_free_again_after_the_upload() {
        let memory = UploadMemory::new(10);
        let (mut first, mut second) = (memory.reserve(client(1)), memory.reserve(client(2)));
        let mut third = memory.reserve(client(3));
        first.grow(1).expect("free");
        first.grow(4).expect("free");
        second.grow(5).expect("just free");
        assert!(matches!(third.grow(1), Err(ApiError::Busy)));
        drop(first);
        third.grow(5).expect("free again");
    }

    #[test]
    fn memory_stays_reserved_while_a_copy_of_the_bytes_exists() {
        let memory = UploadMemory::new(10);
        let mut reservation = memory.reserve(client(1));
        reservation.grow(5).expect("free");
        let (mut first, mut second) = (Bytes::from_static(b"ab"), Bytes::from_static(b"c"));
        reservation.attach_to([&mut first, &mut second]);
        assert_eq!((&*first, &*second), (&b"ab"[..], &b"c"[..]));
        let elsewhere = second.slice(..);
        drop((first, second));
        assert!(matches!(memory.reserve(client(1)).grow(1), Err(ApiError::Busy)));
        drop(elsewhere);
        memory.reserve(client(1)).grow(5).expect("free again");
    }

    #[test]
    fn one_client_can_reserve_at_most_half() {
        let memory = UploadMemory::new(10);
        let (mut first, mut second) = (memory.reserve(client(1)), memory.reserve(client(1)));
        first.grow(3).expect("free");
        assert!(matches!(second.grow(3), Err(ApiError::Busy)));
        second.grow(2).expect("just half");
        memory.reserve(client(2)).grow(5).expect("the other half");
        drop((first, second));
        assert!(memory.used().by_client.is_empty(), "nobody is remembered");
        memory.reserve(client(1)).grow(5).expect("free again");
    }
}
