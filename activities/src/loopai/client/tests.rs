//! Tests the client against a server that sends one canned response.

use super::*;
use crate::loopai::ImageMode;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

async fn read_request(connection: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(connection.read_u8().await.expect("a request"));
    }
    String::from_utf8(request).expect("text").to_lowercase()
}

/// Polls a server that responds with `body`, and returns the request and the outcome.
async fn poll(encoding: &str, body: &[u8]) -> (String, Result<ExecutionStatus, LoopAiError>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let client = LoopAiClient::new(LoopAiSettings {
        url: url.parse().expect("a URL"),
        key: None,
        agent_id: 1,
        timeout: Duration::from_secs(30),
        images: ImageMode::Data,
        image_url_lifetime: Duration::from_secs(60),
    })
    .expect("a client");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let serve = async {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        let request = read_request(&mut connection).await;
        // The client may stop reading early.
        let _ = connection.write_all(&[head.as_bytes(), body].concat()).await;
        request
    };
    tokio::join!(serve, client.execution_status("an-execution"))
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn completed() -> ExecutionStatus {
    ExecutionStatus::Completed(DiagnosisResult::new(serde_json::Map::new()))
}

const COMPLETED: &str = r#"{"status": "COMPLETED", "result": {}}"#;

#[tokio::test]
async fn compressed_responses_are_requested_and_read() {
    for encoding in ["gzip", "X-GZIP"] {
        let (request, outcome) = poll(encoding, &gzip(COMPLETED.as_bytes())).await;
        assert!(request.contains("\r\naccept-encoding: gzip\r\n"), "{request}");
        assert_eq!(outcome.expect("a status"), completed());
    }
}

#[tokio::test]
async fn the_response_size_limit_applies_after_decompression() {
    let padding = " ".repeat(MAX_RESPONSE_BYTES - COMPLETED.len());
    let (_, outcome) = poll("gzip", &gzip(format!("{COMPLETED}{padding}").as_bytes())).await;
    assert_eq!(outcome.expect("a status"), completed());

    let body = gzip(format!("{COMPLETED}{padding} ").as_bytes());
    assert!(body.len() < MAX_RESPONSE_BYTES / 100);
    let (_, outcome) = poll("gzip", &body).await;
    assert!(matches!(outcome, Err(LoopAiError::TooLarge { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_damaged_compressed_response_is_unreadable() {
    let whole = gzip(COMPLETED.as_bytes());
    for body in [COMPLETED.as_bytes(), &whole[..whole.len() / 2]] {
        let (_, outcome) = poll("gzip", body).await;
        assert!(matches!(outcome, Err(LoopAiError::Unreadable(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_ignored() {
    let (_, outcome) = poll("identity", format!("\u{feff}{COMPLETED}").as_bytes()).await;
    assert_eq!(outcome.expect("a status"), completed());
}

#[tokio::test]
async fn statuses_are_case_insensitive() {
    for (status, expected) in [
        ("completed", completed()),
        (" Completed", completed()),
        ("failed", ExecutionStatus::Failed(String::new())),
        ("In_Progress", ExecutionStatus::Running("IN_PROGRESS".into())),
    ] {
        let body = format!(r#"{{"status": "{status}", "result": {{}}}}"#);
        let (_, outcome) = poll("identity", body.as_bytes()).await;
        assert_eq!(outcome.expect("a status"), expected);
    }
}

#[tokio::test]
async fn a_status_that_is_not_a_single_word_is_replaced() {
    for status in ["", "waiting for ana@example.org", &"A".repeat(MAX_STATUS_LEN + 1)] {
        let body = format!(r#"{{"status": "{status}"}}"#);
        let (_, outcome) = poll("identity", body.as_bytes()).await;
        assert_eq!(outcome.expect("a status"), ExecutionStatus::Running("OTHER".into()));
    }
}
