//! Decides which photos are checked at the same time. Each client has a share of half of the permits, and may also use
//! idle permits beyond its share. Photos beyond a share do not count against the shares of other clients, so they never
//! delay another client, although there are then briefly more checks than permits.

use crate::error::{ApiError, ApiResult};
use crate::intake::decoding_memory::DecodingMemory;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Permission to check a photo, which ends when it is dropped. The memory is released first, because the photo that
/// starts next may need it.
pub(super) struct PhotoPermit {
    _memory: OwnedSemaphorePermit,
    _check: RunningCheck,
}

#[derive(Clone)]
pub(super) struct PhotoPermits {
    memory: DecodingMemory,
    queue: Arc<Mutex<Queue>>,
}

struct Queue {
    /// Number of permits.
    max_running: usize,
    memory: DecodingMemory,
    /// Number of running checks of each client.
    running: HashMap<IpAddr, usize>,
    /// Oldest first.
    waiting: VecDeque<WaitingPhoto>,
}

struct WaitingPhoto {
    client: IpAddr,
    decoding_bytes: u64,
    start: oneshot::Sender<Start>,
}

struct Start {
    /// Set only for a photo beyond its client's share. Such a photo starts only if the memory is free, because it must
    /// not wait for memory ahead of other clients.
    memory: Option<OwnedSemaphorePermit>,
    check: RunningCheck,
}

/// A running check, which counts until it is dropped.
struct RunningCheck {
    client: IpAddr,
    permits: PhotoPermits,
}

impl PhotoPermits {
    pub(super) fn new(max_running: usize) -> Self {
        let memory = DecodingMemory::default();
        let queue = Queue {
            max_running,
            memory: memory.clone(),
            running: HashMap::new(),
            waiting: VecDeque::new(),
        };
        Self { memory, queue: Arc::new(Mutex::new(queue)) }
    }

    /// Waits until a photo may be checked. `client` is [`crate::extract::client_info::ClientInfo::key`].
    pub(super) async fn permit(
        &self,
        client: IpAddr,
        decoding_bytes: u64,
    ) -> ApiResult<PhotoPermit> {
        let (start, started) = oneshot::channel();
        let photo = WaitingPhoto { client, decoding_bytes, start };
        self.update(|queue| queue.waiting.push_back(photo));
        let started = started.await.map_err(|_| ApiError::internal("the photo left the queue"));
        let Start { memory, check } = started?;
        let memory = match memory {
            Some(memory) => memory,
            None => self.memory.reserve(decoding_bytes).await?,
        };
        Ok(PhotoPermit { _memory: memory, _check: check })
    }

    /// Changes the queue, and then starts every photo that may start.
    fn update(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        change(&mut queue);
        let starting = queue.take_next();
        // Sending to a caller that has stopped waiting drops its check, which locks the queue.
        drop(queue);
        for (WaitingPhoto { client, start, .. }, memory) in starting {
            let check = RunningCheck { client, permits: self.clone() };
            let _ = start.send(Start { memory, check });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic cannot leave the queue inconsistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of photos that are being checked.
    #[cfg(test)]
    pub(super) fn running(&self) -> usize {
        self.lock().running()
    }
}

impl Queue {
    /// Removes the photos that may start from the queue, and counts them as running. Photos within their client's share
    /// come first.
    fn take_next(&mut self) -> Vec<(WaitingPhoto, Option<OwnedSemaphorePermit>)> {
        let mut starting = Vec::new();
        for photo in mem::take(&mut self.waiting) {
            if photo.start.is_closed() {
                continue;
            }
            if self.has_free_share(photo.client) {
                self.add(photo.client);
                starting.push((photo, None));
            } else {
                self.waiting.push_back(photo);
            }
        }
        for photo in mem::take(&mut self.waiting) {
            let is_idle = self.running() < self.max_running;
            let memory = is_idle.then(|| self.memory.try_reserve(photo.decoding_bytes)).flatten();
            if memory.is_some() {
                self.add(photo.client);
                starting.push((photo, memory));
            } else {
                self.waiting.push_back(photo);
            }
        }
        starting
    }

    fn has_free_share(&self, client: IpAddr) -> bool {
        let share = self.max_running / 2;
        let within_shares: usize = self.running.values().map(|&running| running.min(share)).sum();
        self.running.get(&client).is_none_or(|&running| running < share)
            && within_shares < self.max_running
    }

    fn running(&self) -> usize {
        self.running.values().sum()
    }

    fn add(&mut self, client: IpAddr) {
        *self.running.entry(client).or_default() += 1;
    }

    fn remove(&mut self, client: IpAddr) {
        if let Some(running) = self.running.get_mut(&client) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(&client);
            }
        }
    }
}

impl Drop for RunningCheck {
    fn drop(&mut self) {
        self.permits.update(|queue| queue.remove(self.client));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::decoding_memory::CAPACITY;
    use futures::FutureExt;
    use std::net::Ipv4Addr;

    fn client(number: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, number).into()
    }

    #[tokio::test]
    async fn a_client_uses_all_idle_permits_without_delaying_others() {
        let permits = PhotoPermits::new(4);
        let permit = |number| {
            let permit = permits.permit(client(number), 0).now_or_never();
            permit.map(|permit| permit.expect("a permit"))
        };
        let mut first: Vec<_> = (0..4).map(|_| permit(1).expect("an available permit")).collect();
        let mut waiting = Box::pin(permits.permit(client(1), 0));
        assert!(waiting.as_mut().now_or_never().is_none(), "no permit is available");
        let second = permit(2).expect("another client has a share");
        let _third = permit(3).expect("another client has a share");
        assert!(permit(4).is_none(), "all shares are in use");
        drop(second);
        let _fourth = permit(4).expect("a share is free");
        first.truncate(2);
        assert!(waiting.as_mut().now_or_never().is_none(), "no permit is available");
        first.truncate(1);
        assert!(waiting.as_mut().now_or_never().is_some(), "the client is below its share");
    }

    #[tokio::test]
    async fn photos_within_their_clients_share_start_first() {
        let permits = PhotoPermits::new(2);
        let mut running: Vec<_> =
            [1, 2].map(|number| permits.permit(client(number), 0).now_or_never()).into();
        let mut waiting = [1, 2, 3].map(|number| Box::pin(permits.permit(client(number), 0)));
        assert!(waiting.iter_mut().all(|photo| photo.now_or_never().is_none()));
        running.pop();
        let next = waiting.each_mut().map(|photo| photo.now_or_never());
        assert_eq!(next.each_ref().map(Option::is_some), [false, true, false]);
    }

    #[tokio::test]
    async fn a_photo_beyond_its_clients_share_does_not_wait_for_memory_ahead_of_others() {
        let permits = PhotoPermits::new(2);
        let first =
            permits.permit(client(1), CAPACITY).now_or_never().expect("an available permit");
        let mut second = Box::pin(permits.permit(client(1), CAPACITY));
        assert!(second.as_mut().now_or_never().is_none());
        let mut other = Box::pin(permits.permit(client(2), CAPACITY));
        assert!(other.as_mut().now_or_never().is_none());
        drop(first);
        assert!(other.as_mut().now_or_never().is_some(), "the other client is first");
        assert!(second.as_mut().now_or_never().is_some(), "the memory is free again");
    }

    #[tokio::test]
    async fn a_caller_that_stops_waiting_leaves_no_trace() {
        let permits = PhotoPermits::new(2);
        for number in 1..100 {
            permits.permit(client(number), 0).await.expect("a permit");
        }
        let held = [1, 1, 2].map(|number| permits.permit(client(number), 0).now_or_never());
        let mut polled = Box::pin(permits.permit(client(3), 0));
        assert!(polled.as_mut().now_or_never().is_none());
        assert!(permits.permit(client(4), 0).now_or_never().is_none());
        drop(held);
        // This photo has already received its permit.
        drop(polled);
        let queue = permits.lock();
        assert!(queue.running.is_empty() && queue.waiting.is_empty());
    }
}
