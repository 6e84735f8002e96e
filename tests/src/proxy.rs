//! A TCP proxy that can cut, reset, stall and slow down connections, and count byte sequences sent by clients.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkState {
    Healthy,
    Slow(Duration),
    /// No data passes, and neither side is notified.
    Stalled,
    /// No data passes, neither side is notified, and affected connections never recover.
    HalfOpen,
    Cut,
    /// Connections are reset with RST, and data in transit is lost.
    Reset,
}

impl LinkState {
    fn is_broken(self) -> bool {
        matches!(self, LinkState::Cut | LinkState::Reset)
    }

    fn ends_connections(self) -> bool {
        self.is_broken() || self == LinkState::HalfOpen
    }
}

/// Identifies the response to drop: the response to `statement` on a connection on which the client has already sent
/// `after`.
#[derive(Debug, Clone)]
struct LostResponse {
    statement: String,
    after: String,
}

#[derive(Debug, Default)]
struct ByteCounter {
    bytes: Vec<u8>,
    times: usize,
}

/// State shared by all of a proxy's connections.
#[derive(Clone)]
struct Shared {
    state: watch::Sender<LinkState>,
    lost_response: Arc<Mutex<Option<LostResponse>>>,
    /// Byte limits for the next connections. Each connection is cut after it has received this many bytes from the
    /// server.
    byte_limits: Arc<Mutex<VecDeque<usize>>>,
    /// Number of connections and chunks of data affected by a faulty link.
    disruptions: Arc<AtomicUsize>,
    counter: Arc<Mutex<ByteCounter>>,
    cut_mid_event: Arc<AtomicUsize>,
    /// Cancelled when the proxy is dropped. Half-open connections stay open until then.
    dropped: CancellationToken,
}

pub struct Proxy {
    address: SocketAddr,
    /// Host and port to which new connections are forwarded.
    server: Arc<Mutex<String>>,
    shared: Shared,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy to `server`, given as a host and port.
    pub async fn to(server: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = watch::Sender::new(LinkState::Healthy);
        let shared = Shared {
            state,
            lost_response: Arc::default(),
            byte_limits: Arc::default(),
            disruptions: Arc::default(),
            counter: Arc::default(),
            cut_mid_event: Arc::default(),
            dropped: CancellationToken::new(),
        };
        let server = Arc::new(Mutex::new(server.to_owned()));
        let (target, passing) = (server.clone(), shared.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = target.lock().unwrap_or_else(PoisonError::into_inner).clone();
                tokio::spawn(relay(client, server, passing.clone()));
            }
        });
        Proxy { address, server, shared, accepting }
    }

    /// Forwards new connections to another server, as in a failover. Open connections are not affected.
    pub fn redirect(&self, server: &str) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = server.to_owned();
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn cut(&self) {
        self.shared.state.send_replace(LinkState::Cut);
    }

    /// Resets existing and new connections with RST.
    pub fn reset(&self) {
        self.shared.state.send_replace(LinkState::Reset);
    }

    /// Returns how many connections and chunks of data a faulty link has reset, refused, delayed or held back.
    pub fn disruptions(&self) -> usize {
        self.shared.disruptions.load(Ordering::Relaxed)
    }

    pub fn slow(&self, delay: Duration) {
        self.shared.state.send_replace(LinkState::Slow(delay));
    }

    /// Cuts the next connections. Each limit applies to one connection, which is cut after this many bytes from the
    /// server.
    pub fn cut_after(&self, byte_limits: impl IntoIterator<Item = usize>) {
        let mut limits = self.shared.byte_limits.lock().unwrap_or_else(PoisonError::into_inner);
        *limits = byte_limits.into_iter().collect();
    }

    /// Holds back all data without closing any connections.
    pub fn stall(&self) {
        self.shared.state.send_replace(LinkState::Stalled);
    }

    /// Holds back all data without notifying either side, as if a machine or NAT entry had disappeared. Connections
    /// opened before [`Proxy::restore`] never recover.
    pub fn half_open(&self) {
        self.shared.state.send_replace(LinkState::HalfOpen);
    }

    /// Cuts one connection after the server has executed `statement` but before the response is forwarded. Only a
    /// connection on which the client has already sent `after` is cut.
    pub fn drop_response_to(&self, statement: &str, after: &str) {
        let lost_response =
            LostResponse { statement: statement.to_owned(), after: after.to_owned() };
        *self.shared.lost_response() = Some(lost_response);
    }

    /// Starts counting how often clients send these bytes.
    pub fn count(&self, bytes: &[u8]) {
        *self.shared.counter() = ByteCounter { bytes: bytes.to_owned(), times: 0 };
    }

    pub fn occurrences(&self) -> usize {
        self.shared.counter().times
    }

    /// Returns how many connections were cut in the middle of an event.
    pub fn cut_mid_event(&self) -> usize {
        self.shared.cut_mid_event.load(Ordering::Relaxed)
    }

    /// Restores the link for new connections and releases stalled data. Half-open connections remain half-open.
    pub fn restore(&self) {
        self.shared.state.send_replace(LinkState::Healthy);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.dropped.cancel();
    }
}

impl Shared {
    fn lost_response(&self) -> std::sync::MutexGuard<'_, Option<LostResponse>> {
        self.lost_response.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counter(&self) -> std::sync::MutexGuard<'_, ByteCounter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, sent: &[u8]) {
        let mut counter = self.counter();
        if !counter.bytes.is_empty() {
            let parts = sent.windows(counter.bytes.len());
            counter.times += parts.filter(|part| *part == counter.bytes).count();
        }
    }
}

/// Returns whether the sent bytes end in the middle of an event, that is, without an empty line.
fn ends_in_an_event(sent: &[u8]) -> bool {
    let text = String::from_utf8_lossy(sent);
    let last = text.rsplit("\n\n").next().unwrap_or_default();
    ["event:", "id:", "data:"].iter().any(|field| last.contains(field))
}

#[derive(Default)]
struct Conversation {
    sent_before: bool,
    response_is_lost: bool,
}

impl Conversation {
    fn inspect(&mut self, shared: &Shared, sent: &[u8]) {
        let mut lost_response = shared.lost_response();
        let Some(LostResponse { statement, after }) = &*lost_response else { return };
        let contains = |text: &str| sent.windows(text.len()).any(|part| part == text.as_bytes());
        self.sent_before |= contains(after);
        if self.sent_before && contains(statement) {
            self.response_is_lost = true;
            *lost_response = None;
        }
    }
}

async fn relay(mut client: TcpStream, server: String, shared: Shared) {
    let mut state = shared.state.subscribe();
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let byte_limit = shared.byte_limits.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let talk = async {
        let left = AtomicUsize::new(byte_limit.unwrap_or(usize::MAX));
        let conversation = Mutex::new(Conversation::default());
        let inspect = |sent: &[u8]| {
            shared.count(sent);
            conversation.lock().unwrap_or_else(PoisonError::into_inner).inspect(&shared, sent);
            sent.len()
        };
        let response = |sent: &[u8]| {
            let spent = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(sent.len()))
            });
            let allowed = spent.unwrap_or(0).min(sent.len());
            if allowed < sent.len() && ends_in_an_event(&sent[..allowed]) {
                shared.cut_mid_event.fetch_add(1, Ordering::Relaxed);
            }
            let lost = conversation.lock().unwrap_or_else(PoisonError::into_inner).response_is_lost;
            if lost { 0 } else { allowed }
        };
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let there = forward(from_client, to_server, &shared, inspect);
        let back = forward(from_server, to_client, &shared, response);
        tokio::pin!(there, back);
        tokio::select! {
            lost = &mut back => if !lost { there.await; },
            _ = &mut there => { back.await; }
        }
    };
    let is_reset = tokio::select! {
        biased;
        Ok(ended) = state.wait_for(|state| state.ends_connections()) => match *ended {
            LinkState::HalfOpen => None,
            ended => Some(ended == LinkState::Reset),
        },
        () = talk => Some(false),
    };
    let Some(is_reset) = is_reset else {
        shared.disruptions.fetch_add(1, Ordering::Relaxed);
        // Both sockets stay open, but the proxy no longer reads from them.
        return shared.dropped.cancelled().await;
    };
    if state.borrow().is_broken() {
        shared.disruptions.fetch_add(1, Ordering::Relaxed);
    }
    if is_reset {
        // Closing a socket whose linger time is zero sends RST.
        let _ = client.set_zero_linger().and_then(|()| server.set_zero_linger());
    }
}

/// Forwards data in one direction. `passes` returns how many bytes of a chunk to forward. If that is less than the
/// whole chunk, forwarding stops and the function returns true.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
    passes: impl Fn(&[u8]) -> usize,
) -> bool {
    let mut state = shared.state.subscribe();
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let Ok(read) = from.read(&mut bytes).await else { return false };
        if *state.borrow() != LinkState::Healthy {
            shared.disruptions.fetch_add(1, Ordering::Relaxed);
        }
        let passing = |state: &LinkState| matches!(state, LinkState::Healthy | LinkState::Slow(_));
        let state = state.wait_for(passing).await.map(|state| *state);
        match state {
            Ok(LinkState::Slow(delay)) => tokio::time::sleep(delay).await,
            Ok(_) => {}
            Err(_) => return false,
        }
        let allowed = passes(&bytes[..read]);
        let passed = match read {
            0 => to.shutdown().await,
            _ => to.write_all(&bytes[..allowed]).await,
        };
        if allowed < read {
            return true;
        }
        if read == 0 || passed.is_err() {
            return false;
        }
    }
}
