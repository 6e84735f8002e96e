//! Bounds the memory of all uploads in progress. Counted by what has arrived, not by how many
//! requests there are: a slow phone with one small photo must not keep others out. One client gets at most
//! half, so that a flood from one address leaves room for the others.

use crate::error::ApiError;
use crate::intake::draft::MOST_IMAGES;
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
pub(crate) struct Memory {
    /// Bytes, of all and of one client.
    most: usize,
    most_of_client: usize,
    taken: Arc<Mutex<Taken>>,
}

/// Bytes that are in use.
#[derive(Default)]
struct Taken {
    all: usize,
    of_client: HashMap<IpAddr, usize>,
}

impl Memory {
    /// `SUBMIT_MEMORY_BYTES`, but at least twice what the largest possible submission takes: with less, it
    /// could never be sent, or would leave nothing to others.
    pub(crate) fn for_uploads(settings: &ApiSettings) -> Self {
        debug_assert!(settings.max_files <= MOST_IMAGES);
        let largest = settings.max_body().saturating_mul(ESCAPED_JSON_COPIES);
        Self::new(settings.submit_memory.max(largest.saturating_mul(2)))
    }

    /// Shares out `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { most: bytes, most_of_client: bytes / 2, taken: Arc::default() }
    }

    /// A share for one upload of a client ([`crate::extract::origin::Origin::client`]), empty at first.
    pub(crate) fn share(&self, client: IpAddr) -> Reserved {
        Reserved { memory: self.clone(), client, bytes: 0 }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics between two changes that belong together.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one upload takes; given back when it is dropped. See [`Reserved::held_by`] for the time after it was read.
pub(crate) struct Reserved {
    memory: Memory,
    client: IpAddr,
    bytes: usize,
}

impl Reserved {
    /// Takes `more` bytes.
    ///
    /// # Errors
    /// [`ApiError::Busy`] when they are not free. Waiting for them could last for ever, when all
    /// uploads wait for one another.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), ApiError> {
        let Memory { most, most_of_client, .. } = self.memory;
        let mut taken = self.memory.taken();
        let of_client = taken.of_client.get(&self.client).copied().unwrap_or(0);
        let fits = taken.all.saturating_add(more) <= most
            && of_client.saturating_add(more) <= most_of_client;
        if !fits {
            return Err(ApiError::Busy);
        }
        taken.all += more;
        taken.of_client.insert(self.client, of_client + more);
        drop(taken);
        self.bytes += more;
        Ok(())
    }
}

impl Reserved {
    /// Gives the share to the bytes that were read: it is given back once nobody has any of them any more. A
    /// storage that was told to write them may have them long after its caller has stopped waiting.
    pub(crate) fn held_by<'a>(self, all: impl IntoIterator<Item = &'a mut Bytes>) {
        let share = Arc::new(self);
        for bytes in all {
            let held = Held { bytes: std::mem::take(bytes), _share: share.clone() };
            *bytes = Bytes::from_owner(held);
        }
    }
}

/// Bytes with the share of their upload.
struct Held {
    bytes: Bytes,
    _share: Arc<Reserved>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut taken = self.memory.taken();
        taken.all -= self.bytes;
        if let Some(of_client) = taken.of_client.get_mut(&self.client) {
            *of_client -= self.bytes;
            if *of_client == 0 {
                taken.of_client.remove(&self.client);
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
    fn what_one_upload_takes_another_cannot_have_until_it_ends() {
        let memory = Memory::new(10);
        let (mut first, mut second) = (memory.share(client(1)), memory.share(client(2)));
        let mut third = memory.share(client(3));
        first.grow(1).expect("free");
        first.grow(4).expect("free");
        second.grow(5).expect("just free");
        assert!(matches!(third.grow(1), Err(ApiError::Busy)));
        drop(first);
        third.grow(5).expect("free again");
    }

    #[test]
    fn a_share_is_held_by_every_copy_of_its_bytes() {
        let memory = Memory::new(10);
        let mut share = memory.share(client(1));
        share.grow(5).expect("free");
        let (mut first, mut second) = (Bytes::from_static(b"ab"), Bytes::from_static(b"c"));
        share.held_by([&mut first, &mut second]);
        assert_eq!((&*first, &*second), (&b"ab"[..], &b"c"[..]));
        let elsewhere = second.slice(..);
        drop((first, second));
        assert!(matches!(memory.share(client(1)).grow(1), Err(ApiError::Busy)));
        drop(elsewhere);
        memory.share(client(1)).grow(5).expect("free again");
    }

    #[test]
    fn one_client_gets_at_most_half_with_all_its_uploads() {
        let memory = Memory::new(10);
        let (mut first, mut second) = (memory.share(client(1)), memory.share(client(1)));
        first.grow(3).expect("free");
        assert!(matches!(second.grow(3), Err(ApiError::Busy)));
        second.grow(2).expect("just half");
        memory.share(client(2)).grow(5).expect("the other half");
        drop((first, second));
        assert!(memory.taken().of_client.is_empty(), "nobody is remembered");
        memory.share(client(1)).grow(5).expect("free again");
    }
}
