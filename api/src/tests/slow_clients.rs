//! Tests with slow clients on real connections.

use super::TestApi;
use crate::router::build_with_body_timeout;
use crate::server::serve_router;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(20);
/// Pause between two bytes sent by a slow client.
const DRIP: Duration = Duration::from_millis(20);

/// `body_timeout` is the maximum pause within a body, and the maximum time for which an unneeded body is discarded.
async fn started(api: &TestApi, body_timeout: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let router = build_with_body_timeout(api.state(), body_timeout);
    let settings = api.app.settings.clone();
    tokio::spawn(serve_router(listener, router, settings, CancellationToken::new()));
    address
}

async fn send_head(address: SocketAddr, head: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.expect("connects");
    connection.write_all(head.as_bytes()).await.expect("sends");
    connection
}

fn post(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    )
}

async fn read_status(connection: &mut TcpStream) -> String {
    let mut status = [0; 12];
    let read = connection.read_exact(&mut status);
    tokio::time::timeout(LIMIT, read).await.expect("in time").expect("a response");
    String::from_utf8_lossy(&status).into_owned()
}

/// Sends one byte at a time, and returns everything that the server sends until it closes the connection.
async fn drip(connection: TcpStream) -> String {
    let (mut reader, mut writer) = connection.into_split();
    let dripping = tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
    });
    let mut answer = Vec::new();
    // The server may reset the connection after its response.
    let _ = tokio::time::timeout(LIMIT, reader.read_to_end(&mut answer)).await.expect("closed");
    dripping.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_small_body_that_arrives_too_slowly_closes_the_connection() {
    let api = TestApi::with(|settings| {
        settings.request_timeout = Duration::from_secs(1);
        settings.callback_secret = Some("a secret".into());
    })
    .await;
    // Each pause is much shorter than this timeout, so only the total time is too long.
    let address = started(&api, Duration::from_secs(1)).await;
    let paths =
        ["/api/admin/login", "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/hooks/loopai"];
    let answers = paths.map(async |path| (path, drip(send_head(address, &post(path)).await).await));
    for (path, answer) in futures::future::join_all(answers).await {
        assert!(answer.starts_with("HTTP/1.1 408"), "{path}: {answer}");
        assert!(answer.contains("connection: close"), "{path}: {answer}");
        assert!(answer.contains("\"upload_timeout\""), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_callback_is_refused_before_its_body_arrives_if_callbacks_are_disabled() {
    let address = started(&TestApi::new().await, Duration::from_secs(60)).await;
    let mut connection = send_head(address, &post("/api/hooks/loopai")).await;
    assert_eq!(read_status(&mut connection).await, "HTTP/1.1 404");
}

#[tokio::test]
async fn an_unneeded_body_does_not_keep_the_connection_open() {
    let address = started(&TestApi::new().await, Duration::from_millis(200)).await;
    let answer = drip(send_head(address, &post("/api/nothing/here")).await).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn a_request_head_larger_than_64_kib_is_rejected() {
    let address = started(&TestApi::new().await, LIMIT).await;
    let status = async |length: usize| {
        let filler = "x".repeat(length);
        let head = format!("GET /version HTTP/1.1\r\nHost: x\r\nX-Filler: {filler}\r\n\r\n");
        read_status(&mut send_head(address, &head).await).await
    };
    assert_eq!(status(30 * 1024).await, "HTTP/1.1 200");
    assert_eq!(status(64 * 1024).await, "HTTP/1.1 431");
}
