//! Serves an axum router on a listener whose connections a handler can cut from inside.
//!
//! A handler only produces answers; a simulator must also be able to give none. Each connection
//! therefore carries a [`ConnectionControl`], which handlers get as `ConnectInfo<ConnectionControl>`.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Idle connections get this long to end by themselves at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

const OPEN: u8 = 0;
const CLOSE: u8 = 1;
const RESET: u8 = 2;

/// Ends one connection without an answer.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionControl(Arc<AtomicU8>);

impl ConnectionControl {
    /// The next byte that would be written closes the connection instead (FIN).
    pub(crate) fn close(&self) {
        self.0.store(CLOSE, Ordering::Release);
    }

    /// The next byte that would be written resets the connection instead (RST).
    pub(crate) fn reset(&self) {
        self.0.store(RESET, Ordering::Release);
    }
}

/// A TCP connection that obeys its [`ConnectionControl`].
pub(crate) struct ControlledStream {
    tcp: TcpStream,
    connection: ConnectionControl,
}

impl ControlledStream {
    /// Fails when the connection is to be cut; the server then drops it.
    fn check(&self) -> io::Result<()> {
        match self.connection.0.load(Ordering::Acquire) {
            OPEN => Ok(()),
            RESET => {
                self.tcp.set_zero_linger()?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl AsyncRead for ControlledStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for ControlledStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Accepts connections as [`ControlledStream`]s.
pub(crate) struct ControlledListener(TcpListener);

impl Listener for ControlledListener {
    type Io = ControlledStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // axum's own implementation retries after accept errors.
        let (tcp, peer) = Listener::accept(&mut self.0).await;
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let connection = ConnectionControl(Arc::new(AtomicU8::new(OPEN)));
        (ControlledStream { tcp, connection }, peer)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, ControlledListener>> for ConnectionControl {
    fn connect_info(stream: IncomingStream<'_, ControlledListener>) -> Self {
        stream.io().connection.clone()
    }
}

/// A running HTTP server.
pub(crate) struct HttpServer {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Listens on `listen` (port 0 picks a free one) until `stop` is cancelled.
    pub(crate) async fn start(
        listen: SocketAddr,
        router: Router,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let listener = ControlledListener(TcpListener::bind(listen).await?);
        let address = listener.local_addr()?;
        let stopped = stop.clone().cancelled_owned();
        let service = router.into_make_service_with_connect_info::<ConnectionControl>();
        let task = tokio::spawn(async move {
            let server = axum::serve(listener, service).with_graceful_shutdown(stopped);
            if let Err(error) = server.await {
                tracing::error!(%error, "the HTTP server ended");
            }
        });
        Ok(Self { address, stop, task })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening and waits for open answers, within a grace period.
    pub(crate) async fn shutdown(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(SHUTDOWN_GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        // A test that panics must not leave its servers listening.
        self.stop.cancel();
    }
}
