//! A TCP proxy between two parts, to cut and mend the line between them.

use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A line to a server. Whole at first.
pub struct Proxy {
    address: SocketAddr,
    is_whole: watch::Sender<bool>,
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
        let (is_whole, line) = watch::channel(true);
        let server = server.to_owned();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), line.clone()));
            }
        });
        Proxy { address, is_whole, accepting }
    }

    /// Its own address, as host and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Cuts the line: connections break, and new ones break at once.
    pub fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    /// Makes the line whole again, for new connections.
    pub fn mend(&self) {
        self.is_whole.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Passes bytes both ways until a side closes or the line is cut.
async fn pass(mut client: TcpStream, server: String, mut line: watch::Receiver<bool>) {
    let talk = async {
        if let Ok(mut server) = TcpStream::connect(server).await {
            // An end like any other: the two sides see it for themselves.
            let _ended = copy_bidirectional(&mut client, &mut server).await;
        }
    };
    tokio::select! {
        biased;
        _ = line.wait_for(|is_whole| !is_whole) => {}
        () = talk => {}
    }
}
