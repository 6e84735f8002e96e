//! Accepts connections until shutdown, and then lets requests in progress finish. This replaces axum's own server,
//! which limits neither the number of connections per client nor the time that a connection may stay open without a
//! request.

mod connections;

use crate::app::{App, AppState};
use crate::error::ApiError;
use crate::extract::client_info::Peer;
use crate::layers::head_limit::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_READ_BYTES};
use crate::layers::reserved_connections::ReservedConnection;
use crate::router;
use crate::server::connections::{
    AcceptedConnection, ConnectionLimits, Connections, TooManyConnections,
};
use crate::settings::ApiSettings;
use crate::telemetry::{self, OpenConnection};
use axum::Router;
use axum::http::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

#[derive(Debug, Clone, Copy)]
struct ConnectionTimeouts {
    /// Maximum time to wait for a complete request head, on a new connection or after the previous request.
    head: Duration,
    /// Like `head`, but for a connection reserved for health checks and metrics.
    reserved_head: Duration,
    /// Maximum time to wait for a client that is not reading its response.
    write: Duration,
}

const CONNECTION_TIMEOUTS: ConnectionTimeouts = ConnectionTimeouts {
    // Longer than the idle timeout of most load balancers (60 s). Otherwise, a load balancer could send a request on a
    // connection that the server is closing.
    head: Duration::from_secs(75),
    // Probes send their requests immediately.
    reserved_head: Duration::from_secs(5),
    write: Duration::from_secs(60),
};

/// Size at which hyper stops reading a request head, and rejects it without a body. hyper accepts a larger head if the
/// last read completes it. The buffer doubles when it is full, so it grows to at most [`MAX_READ_BYTES`].
const HYPER_MAX_HEAD_BYTES: usize = MAX_HEAD_BYTES + MAX_HEAD_BYTES / 2;
const _: () = assert!(HYPER_MAX_HEAD_BYTES.next_power_of_two() == MAX_READ_BYTES);
const HYPER_MAX_HEADERS: usize = 2 * MAX_HEADERS;

/// Serves `app` on `listener` until `shutdown` is cancelled. Then stops accepting connections, ends the event streams,
/// and waits up to `shutdown_timeout` for requests in progress to finish.
pub async fn serve(listener: TcpListener, app: App, shutdown: CancellationToken) {
    let settings = app.settings.clone();
    let router = router::build(AppState::new(app, shutdown.clone()));
    serve_router(listener, router, settings, shutdown).await;
}

pub(crate) async fn serve_router(
    listener: TcpListener,
    router: Router,
    settings: ApiSettings,
    shutdown: CancellationToken,
) {
    // Raises the file descriptor limit as far as the system allows, because the usual limit of 1024 is too low.
    let descriptors = rlimit::increase_nofile_limit(u64::MAX);
    let limits = ConnectionLimits::new(descriptors, settings.open_limits.connections_per_client);
    let server = Server { router, settings, limits, timeouts: CONNECTION_TIMEOUTS };
    server.run(listener, shutdown).await;
}

struct Server {
    router: Router,
    settings: ApiSettings,
    limits: ConnectionLimits,
    timeouts: ConnectionTimeouts,
}

impl Server {
    async fn run(self, mut listener: TcpListener, shutdown: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let connections = Connections::new(self.limits);
        let (http, reserved_http) = (self.http(false), self.http(true));
        let mut log = SaturationLog::default();
        while let Some((stream, peer, accepted)) =
            shutdown.run_until_cancelled(self.accept(&mut listener, &connections)).await
        {
            log.record(accepted.is_reserved);
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(self.timeouts.write));
            let is_reserved = accepted.is_reserved;
            let router = self.router.clone().map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                if is_reserved {
                    request.extensions_mut().insert(ReservedConnection);
                }
                request
            });
            let http = if is_reserved { &reserved_http } else { &http };
            let connection = http
                .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router))
                .into_owned();
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                let _open = OpenConnection::new();
                if let Err(error) = connection.await {
                    tracing::debug!(error, "connection failed");
                }
                drop(accepted);
            });
        }
        drop(listener);
        let grace = self.settings.shutdown_timeout;
        if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("shutdown timeout reached; remaining requests aborted");
        }
    }

    fn http(&self, is_reserved: bool) -> Builder<TokioExecutor> {
        let head_timeout =
            if is_reserved { self.timeouts.reserved_head } else { self.timeouts.head };
        // HTTP/2 is disabled because protocol detection waits for the first bytes without a time limit.
        let mut http = Builder::new(TokioExecutor::new()).http1_only();
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_buf_size(HYPER_MAX_HEAD_BYTES)
            .max_headers(HYPER_MAX_HEADERS)
            // A reserved connection is released after a single response.
            .keep_alive(!is_reserved);
        http
    }

    /// Returns the next connection. Refuses connections from clients that already have too many.
    async fn accept(
        &self,
        listener: &mut TcpListener,
        connections: &Connections,
    ) -> (TcpStream, Peer, AcceptedConnection) {
        loop {
            let permit = connections.permit().await;
            // `Listener::accept` skips connections that have already failed, and waits while no file descriptor is
            // available.
            let (stream, peer) = Listener::accept(listener).await;
            // A trusted proxy opens connections on behalf of all clients.
            let is_client = !self.settings.is_trusted_proxy(peer.ip());
            let accepted = match connections.admit(permit, is_client.then_some(peer.ip())) {
                Ok(accepted) => accepted,
                Err(TooManyConnections) => {
                    telemetry::connection_refused();
                    // The request is not read, because a client with this many open connections is not worth the
                    // effort of parsing it. The send buffer of a new connection is empty, so this write rarely fails.
                    // If it does, the client only sees the connection close.
                    let _ = stream.try_write(&ApiError::TooManyConnections.into_raw_response());
                    continue;
                }
            };
            // Server-sent events are small and must be sent without waiting for more data.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            return (stream, Peer(peer), accepted);
        }
    }
}

/// Logs once when only reserved connections are left, and once when others become available again.
#[derive(Default)]
struct SaturationLog {
    is_saturated: bool,
}

impl SaturationLog {
    fn record(&mut self, is_saturated: bool) {
        match (self.is_saturated, is_saturated) {
            (false, true) => {
                tracing::warn!(
                    "connection limit reached; new connections serve only health checks"
                );
            }
            (true, false) => tracing::info!("new connections serve all requests again"),
            _ => {}
        }
        self.is_saturated = is_saturated;
    }
}

#[cfg(test)]
mod tests;
