//! Serves until it is asked to end, then lets requests end. A loop of our own, because axum's has no
//! limit on how long a connection may stay open without a request.

use crate::app::{App, AppState};
use crate::extract::origin::Peer;
use crate::router;
use axum::Router;
use axum::http::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// What limits the connections.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// How long a connection may take for a request's head, and how long one may lie idle between two
    /// requests.
    head_time: Duration,
    /// How long a client may take nothing of an answer that waits for it.
    write_time: Duration,
    /// How many there may be at once. Those beyond wait in the operating system's queue.
    connections: usize,
}

const BOUNDS: Bounds = Bounds {
    // Longer than the 60 s for which load balancers commonly keep theirs: if this end closed first, they
    // would now and then send a request into a closing connection.
    head_time: Duration::from_secs(75),
    write_time: Duration::from_secs(60),
    // Each takes some 20 kB, and a file descriptor of the process.
    connections: 10_000,
};

/// How many connections there may be where the process may have so many descriptors: half of them are left
/// for files, the database and Temporal, without which no request could be answered.
fn connections(descriptors: std::io::Result<u64>) -> usize {
    // What cannot be asked is not limited either.
    let most = descriptors.map_or(usize::MAX, |all| usize::try_from(all / 2).unwrap_or(usize::MAX));
    most.min(BOUNDS.connections)
}

/// Serves `app` on `listener` until `shutdown` is cancelled. Then takes no new connections, ends
/// event streams with a hint when to come back, and lets requests go on for at most the settings'
/// `shutdown_time`.
pub async fn serve(listener: TcpListener, app: App, shutdown: CancellationToken) {
    let grace = app.settings.shutdown_time;
    let router = router::build(AppState::new(app, shutdown.clone()));
    // Up to what the system lets it have: the usual 1024 are few.
    let descriptors = rlimit::increase_nofile_limit(u64::MAX);
    let bounds = Bounds { connections: connections(descriptors), ..BOUNDS };
    serve_router(listener, router, shutdown, grace, bounds).await;
}

async fn serve_router(
    mut listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    grace: Duration,
    bounds: Bounds,
) {
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(bounds.connections));
    while let Some((stream, peer, place)) =
        shutdown.run_until_cancelled(next(&mut listener, &places)).await
    {
        let serving = connection(stream, peer, router.clone(), shutdown.clone(), bounds);
        connections.spawn(async move {
            serving.await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!("some requests had not ended in time, and were cut off");
    }
}

/// The next connection, as soon as there is a place for one.
async fn next(
    listener: &mut TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Peer, OwnedSemaphorePermit) {
    if places.available_permits() == 0 {
        tracing::warn!("no place for another connection, new ones wait");
    }
    let place = places.clone().acquire_owned().await.expect("never closed");
    // axum's `accept` passes over connections that broke already, and waits where descriptors ran out.
    let (stream, peer) = Listener::accept(listener).await;
    (stream, Peer(peer), place)
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    shutdown: CancellationToken,
    bounds: Bounds,
) {
    // Events are small and must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY on a connection");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(bounds.write_time));
    // HTTP/1 only: to find out whether it is HTTP/2 would wait for the first bytes without a limit.
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(bounds.head_time);
    let service =
        TowerToHyperService::new(router.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request
        }));
    let mut serving = pin!(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    const SOON: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(20);

    /// A server with these limits, at this address until it is stopped.
    async fn started(
        router: Router,
        bounds: Bounds,
    ) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_router(listener, router, stop.clone(), SOON, bounds));
        (address, stop, server)
    }

    /// What the server answers until it closes the connection.
    async fn answered(request: &str, head_time: Duration) -> String {
        let router = Router::new().route("/", get(|| async { "hello" }));
        let bounds = Bounds { head_time, ..BOUNDS };
        let (address, stop, server) = started(router, bounds).await;
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        let closed = tokio::time::timeout(LONG, read).await;
        closed.expect("closed in time").expect("text");
        stop.cancel();
        server.await.expect("ends well");
        answer
    }

    #[test]
    fn connections_leave_descriptors_for_what_answers_them() {
        assert_eq!(connections(Ok(1024)), 512);
        assert_eq!(connections(Ok(1_000_000)), BOUNDS.connections);
    }

    #[tokio::test]
    async fn a_connection_that_does_not_come_to_its_request_is_closed() {
        for nothing in ["", "P", "GET / HTTP/1.1\r\nHost: x\r\n"] {
            let answer = answered(nothing, SOON).await;
            assert!(!answer.contains("hello"), "{answer}");
        }
        let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = answered(request, LONG).await;
        assert!(answer.ends_with("hello"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
        let (dropped, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        let endless = move || {
            let held = dropped.clone();
            let chunks = futures::stream::repeat_with(move || {
                let _held = &held;
                Ok::<_, std::convert::Infallible>(vec![b'x'; 64 * 1024])
            });
            async { axum::body::Body::from_stream(chunks) }
        };
        let router = Router::new().route("/", get(endless));
        let bounds = Bounds { write_time: SOON, ..BOUNDS };
        let (address, stop, server) = started(router, bounds).await;
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");

        stop.cancel();
        // The router goes with the server, and the answer with its connection: then nobody holds a sender.
        assert!(tokio::time::timeout(LONG, gone.recv()).await.expect("let go").is_none());

        server.await.expect("ends well");
        drop(stream);
    }

    #[tokio::test]
    async fn connections_beyond_the_places_wait_for_their_turn() {
        let router = Router::new().route("/", get(|| async { "hello" }));
        let (address, stop, server) = started(router, Bounds { connections: 1, ..BOUNDS }).await;
        let first = TcpStream::connect(address).await.expect("connects");
        let mut second = TcpStream::connect(address).await.expect("waits in the queue");
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        second.write_all(request).await.expect("sends");
        let mut answer = String::new();
        let early = tokio::time::timeout(SOON, second.read_to_string(&mut answer)).await;
        assert!(early.is_err(), "the first one has the only place: {answer}");

        drop(first);
        let read = tokio::time::timeout(LONG, second.read_to_string(&mut answer)).await;

        read.expect("in time").expect("text");
        assert!(answer.ends_with("hello"), "{answer}");
        stop.cancel();
        server.await.expect("ends well");
    }
}
