//! Serves connections until shutdown, then lets requests finish. axum's own server has no limit on how long a
//! connection may stay open without a request.

use crate::app::{App, AppState};
use crate::extract::client_info::Peer;
use crate::router;
use axum::Router;
use axum::http::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

#[derive(Debug, Clone, Copy)]
struct ConnectionLimits {
    /// Longest wait for a complete request head, on a new connection or after the previous request.
    head_timeout: Duration,
    /// Longest wait for a client that does not read its response.
    write_timeout: Duration,
    /// Largest number of open connections. Further ones wait in the operating system's queue.
    connections: usize,
}

const CONNECTION_LIMITS: ConnectionLimits = ConnectionLimits {
    // Longer than the idle timeout of most load balancers (60 s): if the server closed a connection first, they would
    // sometimes send a request on it while it is closing.
    head_timeout: Duration::from_secs(75),
    write_timeout: Duration::from_secs(60),
    // Each connection uses about 20 kB of memory and a file descriptor.
    connections: 10_000,
};

/// Leaves half of the file descriptors for files, the database and Temporal: without those, no request can be answered.
fn max_connections(descriptors: std::io::Result<u64>) -> usize {
    // An unknown limit is treated as no limit.
    let most = descriptors.map_or(usize::MAX, |all| usize::try_from(all / 2).unwrap_or(usize::MAX));
    most.min(CONNECTION_LIMITS.connections)
}

/// Serves `app` on `listener` until `shutdown` is cancelled. It then stops accepting connections, ends the
/// event streams, and lets requests finish within the settings' `shutdown_timeout`.
pub async fn serve(listener: TcpListener, app: App, shutdown: CancellationToken) {
    let grace = app.settings.shutdown_timeout;
    let router = router::build(AppState::new(app, shutdown.clone()));
    // The limit is raised as far as the system allows, because the usual 1024 is too low.
    let descriptors = rlimit::increase_nofile_limit(u64::MAX);
    let limits =
        ConnectionLimits { connections: max_connections(descriptors), ..CONNECTION_LIMITS };
    serve_router(listener, router, shutdown, grace, limits).await;
}

async fn serve_router(
    mut listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    grace: Duration,
    limits: ConnectionLimits,
) {
    let connections = GracefulShutdown::new();
    // HTTP/1 only: the detection of HTTP/2 waits for the first bytes without a time limit.
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(limits.head_timeout);
    let permits = Arc::new(Semaphore::new(limits.connections));
    while let Some((stream, peer, permit)) =
        shutdown.run_until_cancelled(accept(&mut listener, &permits)).await
    {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.write_timeout));
        let router = router.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request
        });
        let connection = http
            .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router))
            .into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "connection failed");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, connections.shutdown()).await.is_err() {
        tracing::warn!("requests aborted: they did not finish before the shutdown timeout");
    }
}

/// Waits for a permit, then for a connection.
async fn accept(
    listener: &mut TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, Peer, OwnedSemaphorePermit) {
    if permits.available_permits() == 0 {
        tracing::warn!("connection limit reached, new connections wait");
    }
    let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
    // Skips connections that have already failed, and waits while no file descriptor is available.
    let (stream, peer) = Listener::accept(listener).await;
    // Events are small and must be sent without waiting for more data.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    (stream, Peer(peer), permit)
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

    async fn started(
        router: Router,
        limits: ConnectionLimits,
    ) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_router(listener, router, stop.clone(), SOON, limits));
        (address, stop, server)
    }

    /// Everything that the server sends until it closes the connection.
    async fn answered(request: &str, head_timeout: Duration) -> String {
        let router = Router::new().route("/", get(|| async { "hello" }));
        let limits = ConnectionLimits { head_timeout, ..CONNECTION_LIMITS };
        let (address, stop, server) = started(router, limits).await;
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        let closed = tokio::time::timeout(LONG, read).await;
        closed.expect("closed in time").expect("text");
        stop.cancel();
        server.await.expect("no panic");
        answer
    }

    #[test]
    fn half_of_the_file_descriptors_are_left_for_other_uses() {
        assert_eq!(max_connections(Ok(1024)), 512);
        assert_eq!(max_connections(Ok(1_000_000)), CONNECTION_LIMITS.connections);
    }

    #[tokio::test]
    async fn a_connection_without_a_complete_request_head_is_closed() {
        for nothing in ["", "P", "GET / HTTP/1.1\r\nHost: x\r\n"] {
            let answer = answered(nothing, SOON).await;
            assert!(!answer.contains("hello"), "{answer}");
        }
        let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = answered(request, LONG).await;
        assert!(answer.ends_with("hello"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_its_response_is_disconnected() {
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
        let limits = ConnectionLimits { write_timeout: SOON, ..CONNECTION_LIMITS };
        let (address, stop, server) = started(router, limits).await;
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");

        stop.cancel();
        // Both the router and the response are dropped, so no sender is left.
        assert!(tokio::time::timeout(LONG, gone.recv()).await.expect("disconnected").is_none());

        server.await.expect("no panic");
        drop(stream);
    }

    #[tokio::test]
    async fn connections_above_the_limit_wait() {
        let router = Router::new().route("/", get(|| async { "hello" }));
        let (address, stop, server) =
            started(router, ConnectionLimits { connections: 1, ..CONNECTION_LIMITS }).await;
        let first = TcpStream::connect(address).await.expect("connects");
        let mut second = TcpStream::connect(address).await.expect("waits in the queue");
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        second.write_all(request).await.expect("sends");
        let mut answer = String::new();
        let early = tokio::time::timeout(SOON, second.read_to_string(&mut answer)).await;
        assert!(early.is_err(), "the first one has the only permit: {answer}");

        drop(first);
        let read = tokio::time::timeout(LONG, second.read_to_string(&mut answer)).await;

        read.expect("in time").expect("text");
        assert!(answer.ends_with("hello"), "{answer}");
        stop.cancel();
        server.await.expect("no panic");
    }
}
