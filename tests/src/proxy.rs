//! A TCP proxy between two parts, to cut, stall and mend the line between them, and to count what is said.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Whole,
    /// Nothing comes through, and nobody is told.
    Stalled,
    Cut,
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
    counted: Arc<Mutex<Counted>>,
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
        let shared = Shared {
            line: watch::Sender::new(Line::Whole),
            doomed: Arc::default(),
            counted: Arc::default(),
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

    /// Holds back everything that is said, both ways, without breaking anything.
    pub fn stall(&self) {
        self.shared.line.send_replace(Line::Stalled);
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

    /// Makes the line whole again: for new connections, and for what was held back.
    pub fn mend(&self) {
        self.shared.line.send_replace(Line::Whole);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
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
async fn pass(client: TcpStream, server: String, shared: Shared) {
    let mut line = shared.line.subscribe();
    let talk = async {
        let Ok(server) = TcpStream::connect(server).await else { return };
        let heard = Mutex::new(Talk::default());
        let hear = |said: &[u8]| {
            shared.count(said);
            heard.lock().unwrap_or_else(PoisonError::into_inner).hear(&shared, said);
            true
        };
        let answer =
            |_: &[u8]| !heard.lock().unwrap_or_else(PoisonError::into_inner).answer_is_lost;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let there = pass_on(from_client, to_server, shared.line.subscribe(), hear);
        let back = pass_on(from_server, to_client, shared.line.subscribe(), answer);
        tokio::pin!(there, back);
        tokio::select! {
            lost = &mut back => if !lost { there.await; },
            _ = &mut there => { back.await; }
        }
    };
    tokio::select! {
        biased;
        _ = line.wait_for(|line| *line == Line::Cut) => {}
        () = talk => {}
    }
}

/// Passes bytes one way, as long as `passes` says so of what comes; tells whether it ended for that. Any other
/// end is one like any other: the two sides see it for themselves.
async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
    passes: impl Fn(&[u8]) -> bool,
) -> bool {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let Ok(read) = from.read(&mut bytes).await else { return false };
        if line.wait_for(|line| *line == Line::Whole).await.is_err() {
            return false;
        }
        if !passes(&bytes[..read]) {
            return true;
        }
        let passed = match read {
            0 => to.shutdown().await,
            _ => to.write_all(&bytes[..read]).await,
        };
        if read == 0 || passed.is_err() {
            return false;
        }
    }
}
