//! An HTTP server whose handlers can close or reset their connection instead of responding.
//!
//! Each connection has a [`ConnectionControl`], which handlers extract as `ConnectInfo<ConnectionControl>`.

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

/// Time that open connections are given to finish at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

const OPEN: u8 = 0;
const CLOSE: u8 = 1;
const RESET: u8 = 2;

/// Lets a handler end its connection without a response.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionControl(Arc<AtomicU8>);

impl ConnectionControl {
    /// Closes the connection (FIN) instead of writing any further bytes.
    pub(crate) fn close(&self) {
        self.0.store(CLOSE, Ordering::Release);
    }

    /// Resets the connection (RST) instead of writing any further bytes.
    pub(crate) fn reset(&self) {
        self.0.store(RESET, Ordering::Release);
    }
}

pub(crate) struct ControlledStream {
    tcp: TcpStream,
    connection: ConnectionControl,
}

impl ControlledStream {
    /// Fails if the connection must end, which makes the server drop it.
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

pub(crate) struct ControlledListener(TcpListener);

impl Listener for ControlledListener {
    type Io = ControlledStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // axum's `Listener::accept` retries after an error, so it always returns a connection.
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

pub(crate) struct HttpServer {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Starts a server that runs until `stop` is cancelled. If the port in `listen` is 0, a free port is chosen.
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
                tracing::error!(%error, "the HTTP server failed");
            }
        });
        Ok(Self { address, stop, task })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, and waits up to [`SHUTDOWN_GRACE`] for responses in progress.
    pub(crate) async fn shutdown(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(SHUTDOWN_GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        // Stops the server so that a test that panics does not leave it running.
        self.stop.cancel();
    }
}
