//! The API is asked to end: what is under way is brought to its end before. How event streams end then
//! stands in `stream.rs`.

use diagflow_tests::eventually::LIMIT;
use diagflow_tests::{ApiClient, Stack, StackOptions, eventually, photos};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Reads on until `enough`, or to the end.
async fn read_until(stream: &mut TcpStream, enough: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !enough(&text) {
        let read = timeout(LIMIT, stream.read(&mut bytes)).await.expect("more in time");
        match read.expect("unbroken") {
            0 => break,
            count => text += std::str::from_utf8(&bytes[..count]).expect("text"),
        }
    }
    text
}

#[tokio::test]
async fn a_submission_that_is_half_sent_is_taken_and_answered_before_the_process_ends() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;
    let body = ApiClient::body("ana@example.org", "itches", &[photos::retina()]).to_string();
    let (first_half, second_half) = body.split_at(body.len() / 2);
    let address = stack.client.address("").replace("http://", "");
    let mut upload = TcpStream::connect(&address).await.expect("connects");
    // So that the API says when it reads.
    let head = format!(
        "POST /api/user/submit HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    upload.write_all(head.as_bytes()).await.expect("sends");
    let asked = read_until(&mut upload, |text| text.ends_with("\r\n\r\n")).await;
    assert!(asked.starts_with("HTTP/1.1 100 "), "{asked}");
    upload.write_all(first_half.as_bytes()).await.expect("sends");

    let api = stack.api.take().expect("is running");
    api.ask_to_stop();
    eventually("the API to take nobody else", || async {
        TcpStream::connect(&address).await.err()
    })
    .await;
    upload.write_all(second_half.as_bytes()).await.expect("sends");

    let answer = read_until(&mut upload, |_| false).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    api.stopped().await;
    let stored = stack.database.texts("SELECT id FROM submissions").await;
    assert_eq!(stored.len(), 1);
    assert!(answer.contains(&stored[0]), "{answer}");
    stack.stop().await;
}
