//! A TCP proxy between two parts, to cut, stall and mend the line between them.

use std::net::SocketAddr;
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

/// A line to a server. Whole at first.
pub struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
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
        let (line, state) = watch::channel(Line::Whole);
        let server = server.to_owned();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), state.clone()));
            }
        });
        Proxy { address, line, accepting }
    }

    /// Its own address, as host and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Cuts the line: connections break, and new ones break at once.
    pub fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }

    /// Holds back everything that is said, both ways, without breaking anything.
    pub fn stall(&self) {
        self.line.send_replace(Line::Stalled);
    }

    /// Makes the line whole again: for new connections, and for what was held back.
    pub fn mend(&self) {
        self.line.send_replace(Line::Whole);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Passes bytes both ways until a side closes or the line is cut.
async fn pass(client: TcpStream, server: String, mut line: watch::Receiver<Line>) {
    let (there, back) = (line.clone(), line.clone());
    let talk = async {
        let Ok(server) = TcpStream::connect(server).await else { return };
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        tokio::join!(pass_on(from_client, to_server, there), pass_on(from_server, to_client, back));
    };
    tokio::select! {
        biased;
        _ = line.wait_for(|line| *line == Line::Cut) => {}
        () = talk => {}
    }
}

/// Passes bytes one way. An end is one like any other: the two sides see it for themselves.
async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let Ok(read) = from.read(&mut bytes).await else { return };
        if line.wait_for(|line| *line == Line::Whole).await.is_err() {
            return;
        }
        let passed = match read {
            0 => to.shutdown().await,
            _ => to.write_all(&bytes[..read]).await,
        };
        if read == 0 || passed.is_err() {
            return;
        }
    }
}
