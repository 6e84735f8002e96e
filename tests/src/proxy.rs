//! A TCP proxy between two parts, to cut, reset, stall, slow and mend the line between them, and to count what
//! is said.

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

/// How a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkState {
    Healthy,
    /// Everything comes through late.
    Slow(Duration),
    /// Nothing comes through, and nobody is told.
    Stalled,
    /// The same, and what it meets stays so for ever.
    HalfOpen,
    /// Connections end.
    Cut,
    /// Connections break (RST), and what was under way is lost.
    Reset,
}

impl LinkState {
    fn is_broken(self) -> bool {
        matches!(self, LinkState::Cut | LinkState::Reset)
    }

    /// Whether it leaves no connection as it was.
    fn ends_connections(self) -> bool {
        self.is_broken() || self == LinkState::HalfOpen
    }
}

/// A statement whose answer is to be lost, on a connection that has said another one before.
#[derive(Debug, Clone)]
struct LostResponse {
    statement: String,
    after: String,
}

/// What is listened for, and how often it was said.
#[derive(Debug, Default)]
struct ByteCounter {
    bytes: Vec<u8>,
    times: usize,
}

/// What all connections of a line share.
#[derive(Clone)]
struct Shared {
    state: watch::Sender<LinkState>,
    lost_response: Arc<Mutex<Option<LostResponse>>>,
    /// How many bytes of the server's a connection gets to hear before it is cut; one for each connection
    /// to come.
    byte_limits: Arc<Mutex<VecDeque<usize>>>,
    /// How often something met a line that was not whole.
    disruptions: Arc<AtomicUsize>,
    counter: Arc<Mutex<ByteCounter>>,
    /// How many connections were cut in the middle of an event.
    cut_mid_event: Arc<AtomicUsize>,
    /// Cancelled when the proxy goes: until then, connections that died stay open.
    dropped: CancellationToken,
}

/// A line to a server. Whole at first.
pub struct Proxy {
    address: SocketAddr,
    shared: Shared,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A line to `server`, as host and port.
    ///
    /// # Panics
    /// When no port is free.
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
        let server = server.to_owned();
        let passing = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server.clone(), passing.clone()));
            }
        });
        Proxy { address, shared, accepting }
    }

    /// Its own address, as host and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Cuts the line: connections break, and new ones break at once.
    pub fn cut(&self) {
        self.shared.state.send_replace(LinkState::Cut);
    }

    /// Resets the line: connections break with an error at once, and so do new ones.
    pub fn reset(&self) {
        self.shared.state.send_replace(LinkState::Reset);
    }

    /// How often something met a line that was not whole: a connection that broke or came in vain, or a piece
    /// that came late or was held back.
    pub fn disruptions(&self) -> usize {
        self.shared.disruptions.load(Ordering::Relaxed)
    }

    /// Lets everything through late, by `delay` for each piece.
    pub fn slow(&self, delay: Duration) {
        self.shared.state.send_replace(LinkState::Slow(delay));
    }

    /// Cuts each of the connections to come after so many bytes of the server's, in turn; those after them
    /// are whole.
    pub fn cut_after(&self, byte_limits: impl IntoIterator<Item = usize>) {
        let mut limits = self.shared.byte_limits.lock().unwrap_or_else(PoisonError::into_inner);
        *limits = byte_limits.into_iter().collect();
    }

    /// Holds back everything that is said, both ways, without breaking anything.
    pub fn stall(&self) {
        self.shared.state.send_replace(LinkState::Stalled);
    }

    /// Holds back everything that is said, both ways, on the connections that there are and on those that come
    /// until the line is mended. These never hear anything more, and nobody is told: as where the other machine
    /// has vanished, or what stands between has forgotten them.
    pub fn half_open(&self) {
        self.shared.state.send_replace(LinkState::HalfOpen);
    }

    /// Cuts the line once, just before the answer to `statement` comes through, where the same connection
    /// has said `after` before. The server has done then what it was told.
    pub fn drop_response_to(&self, statement: &str, after: &str) {
        let lost_response =
            LostResponse { statement: statement.to_owned(), after: after.to_owned() };
        *self.shared.lost_response() = Some(lost_response);
    }

    /// Counts from now on how often clients say this.
    pub fn count(&self, bytes: &[u8]) {
        *self.shared.counter() = ByteCounter { bytes: bytes.to_owned(), times: 0 };
    }

    /// How often it was said since.
    pub fn occurrences(&self) -> usize {
        self.shared.counter().times
    }

    /// Of the connections that were cut after so many bytes, those that were cut in the middle of an event.
    pub fn cut_mid_event(&self) -> usize {
        self.shared.cut_mid_event.load(Ordering::Relaxed)
    }

    /// Makes the line whole again: for new connections, and for what was held back on those that are not half-open.
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

/// Whether the last thing said is the beginning of an event: an empty line would end it.
fn ends_in_an_event(sent: &[u8]) -> bool {
    let text = String::from_utf8_lossy(sent);
    let last = text.rsplit("\n\n").next().unwrap_or_default();
    ["event:", "id:", "data:"].iter().any(|field| last.contains(field))
}

/// What a connection has said so far, as far as it matters for what is to be lost.
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

/// Passes bytes both ways until a side closes or the line is cut.
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
        let answer = |sent: &[u8]| {
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
        let back = forward(from_server, to_client, &shared, answer);
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
        // Both sockets stay open, and nobody reads them.
        return shared.dropped.cancelled().await;
    };
    if state.borrow().is_broken() {
        shared.disruptions.fetch_add(1, Ordering::Relaxed);
    }
    if is_reset {
        // What a close without lingering sends is RST.
        let _ = client.set_zero_linger().and_then(|()| server.set_zero_linger());
    }
}

/// Passes bytes one way, as many of each piece as `passes` says; tells whether it ended because that was not
/// all. Any other end is one like any other: the two sides see it for themselves.
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
