//! Limits the total memory used by uploads in progress. The limit counts received bytes instead of requests, so a slow
//! upload of one small photo does not block other uploads. A single client gets at most half of the memory, so a flood
//! of requests from one address leaves memory for other clients.

use crate::error::ApiError;
use crate::intake::draft::MAX_IMAGES;
use crate::settings::ApiSettings;
use bytes::Bytes;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Peak memory for a JSON body, as a multiple of its length: the body, the base64 digits of an image without
/// whitespace, and the decoded bytes are in memory at the same time.
pub(super) const JSON_COPIES: usize = 3;
/// Peak memory for a JSON body with escapes, as a multiple of its length. Strings with escapes cannot be borrowed from
/// the body, and some languages write `/`, which is a base64 digit, as `\/`.
const ESCAPED_JSON_COPIES: usize = JSON_COPIES + 1;

#[derive(Clone)]
pub(crate) struct UploadMemory {
    /// Limit in bytes.
    limit: usize,
    limit_per_client: usize,
    used: Arc<Mutex<Used>>,
}

#[derive(Default)]
struct Used {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

impl UploadMemory {
    /// The limit is at least twice what the largest possible submission needs, because a single client gets only half
    /// of the memory.
    pub(crate) fn for_uploads(settings: &ApiSettings) -> Self {
        debug_assert!(settings.max_files <= MAX_IMAGES);
        let largest = settings.max_body().saturating_mul(ESCAPED_JSON_COPIES);
        Self::new(settings.upload_memory.max(largest.saturating_mul(2)))
    }

    pub(crate) fn new(bytes: usize) -> Self {
        Self { limit: bytes, limit_per_client: bytes / 2, used: Arc::default() }
    }

    /// Returns an empty reservation for one upload. `client` is [`crate::extract::client_info::ClientInfo::key`].
    pub(crate) fn reserve(&self, client: IpAddr) -> MemoryReservation {
        MemoryReservation { memory: self.clone(), client, bytes: 0 }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        // A panic cannot leave the counters inconsistent.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory reserved for one upload, which is released when the reservation is dropped.
pub(crate) struct MemoryReservation {
    memory: UploadMemory,
    client: IpAddr,
    bytes: usize,
}

impl MemoryReservation {
    /// Reserves `more` bytes. Fails instead of waiting if not enough memory is free, because uploads that wait could
    /// block each other forever.
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
    /// Attaches the reservation to the bytes, so that the memory is released when the last copy of the bytes is
    /// dropped. The storage may hold the bytes long after its caller has stopped waiting.
    pub(crate) fn attach_to<'a>(self, all: impl IntoIterator<Item = &'a mut Bytes>) {
        let reservation = Arc::new(self);
        for bytes in all {
            let held =
                TrackedBytes { bytes: std::mem::take(bytes), _reservation: reservation.clone() };
            *bytes = Bytes::from_owner(held);
        }
    }
}

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
    fn reserved_memory_is_released_after_the_upload() {
        let memory = UploadMemory::new(10);
        let (mut first, mut second) = (memory.reserve(client(1)), memory.reserve(client(2)));
        let mut third = memory.reserve(client(3));
        first.grow(1).expect("free");
        first.grow(4).expect("free");
        second.grow(5).expect("exactly enough");
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
    fn one_client_can_reserve_at_most_half_of_the_memory() {
        let memory = UploadMemory::new(10);
        let (mut first, mut second) = (memory.reserve(client(1)), memory.reserve(client(1)));
        first.grow(3).expect("free");
        assert!(matches!(second.grow(3), Err(ApiError::Busy)));
        second.grow(2).expect("exactly half");
        memory.reserve(client(2)).grow(5).expect("the other half is free");
        drop((first, second));
        assert!(memory.used().by_client.is_empty(), "no clients remain");
        memory.reserve(client(1)).grow(5).expect("free again");
    }
}
