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
enum Line {
    Whole,
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

impl Line {
    fn is_broken(self) -> bool {
        matches!(self, Line::Cut | Line::Reset)
    }

    /// Whether it leaves no connection as it was.
    fn ends_connections(self) -> bool {
        self.is_broken() || self == Line::HalfOpen
    }
}

/// A statement whose answer is to be lost, on a connection that has said another one before.
#[derive(Debug, Clone)]
struct Doomed {
    statement: String,
    after: String,
}

/// What is listened for, and how often it was said.
#[derive(Debug, Default)]
struct Counted {
    bytes: Vec<u8>,
    times: usize,
}

/// What all connections of a line share.
#[derive(Clone)]
struct Shared {
    line: watch::Sender<Line>,
    doomed: Arc<Mutex<Option<Doomed>>>,
    /// How many bytes of the server's a connection gets to hear before it is cut; one for each connection
    /// to come.
    budgets: Arc<Mutex<VecDeque<usize>>>,
    /// How often something met a line that was not whole.
    troubles: Arc<AtomicUsize>,
    counted: Arc<Mutex<Counted>>,
    /// How many connections were cut in the middle of an event.
    cut_in_the_middle: Arc<AtomicUsize>,
    /// Cancelled when the proxy goes: until then, connections that died stay open.
    gone: CancellationToken,
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
        let line = watch::Sender::new(Line::Whole);
        let shared = Shared {
            line,
            doomed: Arc::default(),
            budgets: Arc::default(),
            troubles: Arc::default(),
            counted: Arc::default(),
            cut_in_the_middle: Arc::default(),
            gone: CancellationToken::new(),
        };
        let server = server.to_owned();
        let passing = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), passing.clone()));
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
        self.shared.line.send_replace(Line::Cut);
    }

    /// Resets the line: connections break with an error at once, and so do new ones.
    pub fn reset(&self) {
        self.shared.line.send_replace(Line::Reset);
    }

    /// How often something met a line that was not whole: a connection that broke or came in vain, or a piece
    /// that came late or was held back.
    pub fn troubles(&self) -> usize {
        self.shared.troubles.load(Ordering::Relaxed)
    }

    /// Lets everything through late, by `delay` for each piece.
    pub fn slow(&self, delay: Duration) {
        self.shared.line.send_replace(Line::Slow(delay));
    }

    /// Cuts each of the connections to come after so many bytes of the server's, in turn; those after them
    /// are whole.
    pub fn cut_after(&self, budgets: impl IntoIterator<Item = usize>) {
        let mut kept = self.shared.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = budgets.into_iter().collect();
    }

    /// Holds back everything that is said, both ways, without breaking anything.
    pub fn stall(&self) {
        self.shared.line.send_replace(Line::Stalled);
    }

    /// Holds back everything that is said, both ways, on the connections that there are and on those that come
    /// until the line is mended. These never hear anything more, and nobody is told: as where the other machine
    /// has vanished, or what stands between has forgotten them.
    pub fn half_open(&self) {
        self.shared.line.send_replace(Line::HalfOpen);
    }

    /// Cuts the line once, just before the answer to `statement` comes through, where the same connection
    /// has said `after` before. The server has done then what it was told.
    pub fn lose_answer_to(&self, statement: &str, after: &str) {
        let doomed = Doomed { statement: statement.to_owned(), after: after.to_owned() };
        *self.shared.doomed() = Some(doomed);
    }

    /// Counts from now on how often clients say this.
    pub fn count(&self, bytes: &[u8]) {
        *self.shared.counted() = Counted { bytes: bytes.to_owned(), times: 0 };
    }

    /// How often it was said since.
    pub fn counted(&self) -> usize {
        self.shared.counted().times
    }

    /// Of the connections that were cut after so many bytes, those that were cut in the middle of an event.
    pub fn cut_in_the_middle(&self) -> usize {
        self.shared.cut_in_the_middle.load(Ordering::Relaxed)
    }

    /// Makes the line whole again: for new connections, and for what was held back on those that are not half-open.
    pub fn mend(&self) {
        self.shared.line.send_replace(Line::Whole);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.gone.cancel();
    }
}

impl Shared {
    fn doomed(&self) -> std::sync::MutexGuard<'_, Option<Doomed>> {
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, said: &[u8]) {
        let mut counted = self.counted();
        if !counted.bytes.is_empty() {
            let parts = said.windows(counted.bytes.len());
            counted.times += parts.filter(|part| *part == counted.bytes).count();
        }
    }
}

/// Whether the last thing said is the beginning of an event: an empty line would end it.
fn ends_in_an_event(said: &[u8]) -> bool {
    let text = String::from_utf8_lossy(said);
    let last = text.rsplit("\n\n").next().unwrap_or_default();
    ["event:", "id:", "data:"].iter().any(|field| last.contains(field))
}

/// What a connection has said so far, as far as it matters for what is to be lost.
#[derive(Default)]
struct Talk {
    said_before: bool,
    answer_is_lost: bool,
}

impl Talk {
    fn hear(&mut self, shared: &Shared, said: &[u8]) {
        let mut doomed = shared.doomed();
        let Some(Doomed { statement, after }) = &*doomed else { return };
        let contains = |text: &str| said.windows(text.len()).any(|part| part == text.as_bytes());
        self.said_before |= contains(after);
        if self.said_before && contains(statement) {
            self.answer_is_lost = true;
            *doomed = None;
        }
    }
}

/// Passes bytes both ways until a side closes or the line is cut.
async fn pass(mut client: TcpStream, server: String, shared: Shared) {
    let mut line = shared.line.subscribe();
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let budget = shared.budgets.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let talk = async {
        let left = AtomicUsize::new(budget.unwrap_or(usize::MAX));
        let heard = Mutex::new(Talk::default());
        let hear = |said: &[u8]| {
            shared.count(said);
            heard.lock().unwrap_or_else(PoisonError::into_inner).hear(&shared, said);
            said.len()
        };
        let answer = |said: &[u8]| {
            let spent = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(said.len()))
            });
            let allowed = spent.unwrap_or(0).min(said.len());
            if allowed < said.len() && ends_in_an_event(&said[..allowed]) {
                shared.cut_in_the_middle.fetch_add(1, Ordering::Relaxed);
            }
            let lost = heard.lock().unwrap_or_else(PoisonError::into_inner).answer_is_lost;
            if lost { 0 } else { allowed }
        };
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let there = pass_on(from_client, to_server, &shared, hear);
        let back = pass_on(from_server, to_client, &shared, answer);
        tokio::pin!(there, back);
        tokio::select! {
            lost = &mut back => if !lost { there.await; },
            _ = &mut there => { back.await; }
        }
    };
    let is_reset = tokio::select! {
        biased;
        Ok(ended) = line.wait_for(|line| line.ends_connections()) => match *ended {
            Line::HalfOpen => None,
            ended => Some(ended == Line::Reset),
        },
        () = talk => Some(false),
    };
    let Some(is_reset) = is_reset else {
        shared.troubles.fetch_add(1, Ordering::Relaxed);
        // Both sockets stay open, and nobody reads them.
        return shared.gone.cancelled().await;
    };
    if line.borrow().is_broken() {
        shared.troubles.fetch_add(1, Ordering::Relaxed);
    }
    if is_reset {
        // What a close without lingering sends is RST.
        let _ = client.set_zero_linger().and_then(|()| server.set_zero_linger());
    }
}

/// Passes bytes one way, as many of each piece as `passes` says; tells whether it ended because that was not
/// all. Any other end is one like any other: the two sides see it for themselves.
async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
    passes: impl Fn(&[u8]) -> usize,
) -> bool {
    let mut line = shared.line.subscribe();
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let Ok(read) = from.read(&mut bytes).await else { return false };
        if *line.borrow() != Line::Whole {
            shared.troubles.fetch_add(1, Ordering::Relaxed);
        }
        let passing = |line: &Line| matches!(line, Line::Whole | Line::Slow(_));
        let state = line.wait_for(passing).await.map(|line| *line);
        match state {
            Ok(Line::Slow(delay)) => tokio::time::sleep(delay).await,
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
