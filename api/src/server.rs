//! Serves until it is asked to end, then lets requests end. A loop of our own, because axum's has no
//! limit on how long a connection may stay open without a request.

use crate::app::{App, AppState};
use crate::origin::Peer;
use crate::router;
use axum::Router;
use axum::http::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// How long a connection may take for a request's head. Also how long one may lie idle between two
/// requests, so it is longer than the 60 s for which load balancers commonly keep theirs: if this end
/// closed first, they would now and then send a request into a closing connection.
const HEAD_TIME: Duration = Duration::from_secs(75);

/// Serves `app` on `listener` until `shutdown` is cancelled. Then takes no new connections, ends
/// event streams with a hint when to come back, and lets requests go on for at most the settings'
/// `shutdown_time`.
pub async fn serve(listener: TcpListener, app: App, shutdown: CancellationToken) {
    let grace = app.settings.shutdown_time;
    let router = router::build(AppState::new(app, shutdown.clone()));
    serve_router(listener, router, shutdown, grace, HEAD_TIME).await;
}

async fn serve_router(
    mut listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    grace: Duration,
    head_time: Duration,
) {
    let connections = TaskTracker::new();
    // axum's `accept` passes over connections that broke already, and waits where descriptors ran out.
    while let Some((stream, peer)) =
        shutdown.run_until_cancelled(Listener::accept(&mut listener)).await
    {
        let router = router.clone();
        connections.spawn(connection(stream, Peer(peer), router, shutdown.clone(), head_time));
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!("some requests had not ended in time, and were cut off");
    }
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    shutdown: CancellationToken,
    head_time: Duration,
) {
    // Events are small and must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY on a connection");
    }
    // HTTP/1 only: to find out whether it is HTTP/2 would wait for the first bytes without a limit.
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(head_time);
    let service =
        TowerToHyperService::new(router.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request
        }));
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), service));
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// What the server answers until it closes the connection.
    async fn answered(request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/", get(|| async { "hello" }));
        let (stop, time) = (CancellationToken::new(), Duration::from_millis(100));
        let server = tokio::spawn(serve_router(listener, router, stop.clone(), time, time));
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        let closed = tokio::time::timeout(Duration::from_secs(20), read).await;
        closed.expect("closed in time").expect("text");
        stop.cancel();
        server.await.expect("ends well");
        answer
    }

    #[tokio::test]
    async fn a_connection_that_does_not_come_to_its_request_is_closed() {
        for nothing in ["", "P", "GET / HTTP/1.1\r\nHost: x\r\n"] {
            let answer = answered(nothing).await;
            assert!(!answer.contains("hello"), "{answer}");
        }
        let answer = answered("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.ends_with("hello"), "{answer}");
    }
}
