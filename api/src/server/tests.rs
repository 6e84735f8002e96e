use super::*;
use crate::layers::head_limit::limit_head;
use crate::layers::reserved_connections::refuse_on_reserved_connection;
use axum::middleware::from_fn;
use axum::routing::get;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(20);
const LIMITS: ConnectionLimits = ConnectionLimits { total: 100, reserved: 0, per_client: 100 };
const HELLO: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

struct TestServer {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl TestServer {
    async fn start(
        router: Router,
        limits: ConnectionLimits,
        change: impl FnOnce(&mut Server),
    ) -> TestServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let public_url = "http://127.0.0.1/".parse().expect("an address");
        let mut settings = ApiSettings::new("a secret".into(), public_url);
        settings.shutdown_timeout = SOON;
        let mut server = Server { router, settings, limits, timeouts: CONNECTION_TIMEOUTS };
        change(&mut server);
        let stop = CancellationToken::new();
        TestServer { address, server: tokio::spawn(server.run(listener, stop.clone())), stop }
    }

    async fn greeting(limits: ConnectionLimits) -> TestServer {
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/ready", get(|| async { "ready" }))
            .layer(from_fn(refuse_on_reserved_connection))
            .layer(from_fn(limit_head));
        Self::start(router, limits, |_| {}).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connects")
    }

    /// Sends a request on a new connection, and returns everything that the server sends until it closes the
    /// connection.
    async fn send(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("sends");
        read_to_end(&mut stream).await
    }

    async fn stop(self) {
        self.stop.cancel();
        self.server.await.expect("no panic");
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    let read = tokio::time::timeout(LONG, stream.read_to_string(&mut answer)).await;
    read.expect("closed in time").expect("text");
    answer
}

/// Waits until the server has closed the connection, whether or not it has sent anything.
async fn wait_until_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // The server may reset the connection.
    let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await.expect("in time");
}

#[tokio::test]
async fn a_connection_without_a_complete_request_head_is_closed() {
    let router = || Router::new().route("/", get(|| async { "hello" }));
    let impatient = TestServer::start(router(), LIMITS, |server| server.timeouts.head = SOON).await;
    for nothing in ["", "P", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let answer = impatient.send(nothing).await;
        assert!(!answer.contains("hello"), "{answer}");
    }
    impatient.stop().await;
    let patient = TestServer::start(router(), LIMITS, |_| {}).await;
    let answer = patient.send(HELLO).await;
    assert!(answer.ends_with("hello"), "{answer}");
    patient.stop().await;
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
    let server = TestServer::start(router, LIMITS, |server| server.timeouts.write = SOON).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");

    server.stop.cancel();
    // Both the router and the response are dropped, so no sender is left.
    assert!(tokio::time::timeout(LONG, gone.recv()).await.expect("disconnected").is_none());

    server.stop().await;
    drop(stream);
}

#[tokio::test]
async fn connections_above_the_limit_wait_until_another_connection_closes() {
    let server = TestServer::greeting(ConnectionLimits { total: 1, ..LIMITS }).await;
    let first = server.connect().await;
    let mut second = server.connect().await;
    second.write_all(HELLO.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    let early = tokio::time::timeout(SOON, second.read_to_string(&mut answer)).await;
    assert!(early.is_err(), "the first connection has the only permit: {answer}");

    drop(first);
    let answer = read_to_end(&mut second).await;

    assert!(answer.ends_with("hello"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn the_last_free_connections_serve_only_health_checks() {
    let server = TestServer::greeting(ConnectionLimits { total: 3, reserved: 2, ..LIMITS }).await;
    let first = server.connect().await;

    let refused = server.send(&HELLO.replace("Connection: close\r\n", "")).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("connection: close") && refused.contains("retry-after: 5"));
    assert!(refused.contains("\"busy\""), "{refused}");
    // The body never arrives, but the connection is closed after the response.
    let ready = "GET /ready HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
    let answer = server.send(ready).await;
    assert!(answer.ends_with("ready"), "{answer}");

    drop(first);
    loop {
        // The server may not yet have noticed that the first connection was closed.
        let answer = server.send(HELLO).await;
        if answer.ends_with("hello") {
            break;
        }
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_silent_client_does_not_occupy_a_reserved_connection() {
    let router = Router::new().route("/", get(|| async { "hello" }));
    let limits = ConnectionLimits { total: 1, reserved: 1, ..LIMITS };
    let server =
        TestServer::start(router, limits, |server| server.timeouts.reserved_head = SOON).await;
    let mut silent = server.connect().await;
    wait_until_closed(&mut silent).await;
    server.stop().await;
}

#[tokio::test]
async fn one_client_has_a_limited_number_of_connections() {
    let server = TestServer::greeting(ConnectionLimits { per_client: 2, ..LIMITS }).await;
    let mut open = [server.connect().await, server.connect().await];
    for stream in &mut open {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("a response");
        assert_eq!(&status, b"HTTP/1.1 200");
    }

    let mut third = server.connect().await;
    let refused = read_to_end(&mut third).await;
    let (head, body) = refused.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{head}");
    let length = format!("Content-Length: {}", body.len());
    for header in ["Content-Type: application/json", &length, "Retry-After: 5", "Connection: close"]
    {
        assert!(head.lines().any(|line| line == header), "{header}: {head}");
    }
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(
        (&body["success"], &body["error"]["code"]),
        (&false.into(), &"too_many_connections".into())
    );
    assert_eq!(body["errors"][0], body["message"]);

    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("a loopback address");
    let mut other = socket.connect(server.address).await.expect("connects");
    other.write_all(HELLO.as_bytes()).await.expect("sends");
    let answer = read_to_end(&mut other).await;
    assert!(answer.ends_with("hello"), "another client: {answer}");
    drop(open);
    server.stop().await;
}

#[tokio::test]
async fn trusted_proxies_may_open_any_number_of_connections() {
    let router = Router::new().route("/", get(|| async { "hello" }));
    let limits = ConnectionLimits { per_client: 1, ..LIMITS };
    let server =
        TestServer::start(router, limits, |server| server.settings.proxies.count = 1).await;
    let open = [server.connect().await, server.connect().await];
    let answer = server.send(HELLO).await;
    assert!(answer.ends_with("hello"), "{answer}");
    drop(open);
    server.stop().await;
}

#[tokio::test]
async fn a_request_with_too_large_a_head_is_rejected_with_a_body() {
    let server = TestServer::greeting(LIMITS).await;
    let head = |headers: &str| HELLO.replace("\r\n\r\n", &format!("\r\n{headers}\r\n"));
    let cookies = |length: usize| head(&format!("Cookie: {}\r\n", "x".repeat(length)));
    // Each request also has two other headers.
    for accepted in [cookies(MAX_HEAD_BYTES - 100), head(&"A: b\r\n".repeat(MAX_HEADERS - 2))] {
        let answer = server.send(&accepted).await;
        assert!(answer.ends_with("hello"), "{answer}");
    }
    for refused in [
        cookies(MAX_HEAD_BYTES),
        cookies(HYPER_MAX_HEAD_BYTES - 100),
        head(&"A: b\r\n".repeat(MAX_HEADERS - 1)),
        head(&"A: b\r\n".repeat(HYPER_MAX_HEADERS - 2)),
    ] {
        let answer = server.send(&refused).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        assert!(answer.contains("\"headers_too_large\""), "{answer}");
    }
    server.stop().await;
}
