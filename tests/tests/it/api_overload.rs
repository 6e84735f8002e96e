//! Tests of an overloaded API. It rejects excess requests early, uses a bounded amount of memory, and does not let one
//! client block the others.

use diagflow_store::Failpoint;
use diagflow_tests::client::expect_accepted;
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::photos::{self, Photo};
use diagflow_tests::{ApiClient, Stack, StackOptions, eventually};
use diesel_async::SimpleAsyncConnection;
use futures::future::join_all;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Options for an API that accepts one image of at most `bytes` bytes per submission and has memory
/// for two request bodies of the maximum size.
fn small_limits(bytes: usize) -> StackOptions {
    StackOptions::default()
        .with("MAX_FILES", "1")
        .with("MAX_FILE_BYTES", bytes.to_string())
        .with("UPLOAD_MEMORY_BYTES", "1")
}

/// Sends all but the last byte of an upload, which keeps the API waiting.
async fn unfinished_upload(stack: &Stack, bytes: usize) -> TcpStream {
    let mut connection =
        TcpStream::connect(stack.setting("LISTEN_ADDRESS")).await.expect("connected");
    let head = format!(
        "POST /api/user/submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        bytes + 1
    );
    connection.write_all(head.as_bytes()).await.expect("written");
    connection.write_all(&vec![b' '; bytes]).await.expect("written");
    connection
}

async fn submit(client: &ApiClient, photos: &[Photo]) -> Response {
    client
        .post(&ApiClient::submission_body("ana@example.org", "", photos), None)
        .await
        .expect("a response")
}

/// Asserts that a response has status 503, the given error code and a `Retry-After` header.
async fn assert_unavailable(response: Response, code: &str) {
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], code, "{body}");
}

#[tokio::test]
async fn a_flood_from_one_address_does_not_block_other_clients() {
    let stack = Stack::api_only(small_limits(256 * 1024)).await;
    let mut flood = Vec::new();
    let fill = async {
        loop {
            // The uploads are sent one at a time, because the API may reject all uploads that arrive at once and leave
            // memory free.
            flood.push(unfinished_upload(&stack, 300 * 1024).await);
            let response = submit(&stack.client, &[photos::cat()]).await;
            if response.status() != StatusCode::ACCEPTED {
                return response;
            }
        }
    };
    let rejected = timeout(LIMIT, fill).await.expect("the flood to use up its share of memory");
    assert_unavailable(rejected, "busy").await;

    let other = ApiClient::with_local_address(stack.client.url(""), [127, 0, 0, 2].into());
    expect_accepted(submit(&other, &[photos::cat()]).await).await;

    // The API accepts requests from the flooding client again as soon as the flood ends.
    drop(flood);
    eventually("the API to accept requests from the client again", || async {
        let response = submit(&stack.client, &[photos::cat()]).await;
        (response.status() == StatusCode::ACCEPTED).then_some(())
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn a_client_that_keeps_sending_after_an_early_refusal_still_gets_the_response() {
    // The operating system buffers less than 64 MiB for a receiver that does not read.
    const SENT: usize = 64 * 1024 * 1024;
    let stack = Stack::api_only(small_limits(256 * 1024)).await;

    let mut connection = unfinished_upload(&stack, SENT).await;
    connection.write_all(b" ").await.expect("the last byte");

    let mut head = [0; 12];
    connection.read_exact(&mut head).await.expect("a response instead of a broken connection");
    assert_eq!(&head, b"HTTP/1.1 413");
    stack.stop().await;
}

#[tokio::test]
async fn memory_stays_bounded_at_ten_times_the_load() {
    const MIB: usize = 1024 * 1024;
    const IMAGE: usize = 2 * MIB;
    // Base64 makes a request body 4/3 the size of its image. Reading JSON with escapes needs up to four times the
    // memory of the body. The API has memory for two request bodies of the maximum size.
    const BUDGET: usize = IMAGE * 4 / 3 * 4 * 2;
    const UPLOAD: usize = IMAGE;
    const UPLOADS: usize = 10 * BUDGET / (3 * UPLOAD);
    let stack = Stack::api_only(small_limits(IMAGE)).await;
    expect_accepted(submit(&stack.client, &[photos::cat()]).await).await;
    let before = peak_memory(&stack);

    let uploads = (0..UPLOADS).map(|number| {
        // Each upload comes from a different address to avoid the per-client limit.
        let address = [127, 0, 1, u8::try_from(number % 250).expect("a small number")].into();
        let client = ApiClient::with_local_address(stack.client.url(""), address);
        let noise = Photo { name: "x.png", media_type: "image/png", bytes: vec![7; UPLOAD] };
        async move { submit(&client, &[noise]).await.status() }
    });
    let responses = join_all(uploads).await;

    let rejected = responses.iter().filter(|status| status.as_u16() == 503).count();
    assert!(rejected > 0, "all uploads were accepted: {responses:?}");
    let grown = peak_memory(&stack) - before;
    assert!(grown < 2 * BUDGET, "memory grew by {grown} bytes, with a budget of {BUDGET}");
    expect_accepted(submit(&stack.client, &[photos::cat()]).await).await;
    stack.stop().await;
}

#[tokio::test]
async fn hung_storage_does_not_exhaust_memory() {
    const IMAGE: usize = 2 * 1024 * 1024;
    // The test `memory_stays_bounded_at_ten_times_the_load` explains how the budget is calculated.
    const BUDGET: usize = IMAGE * 4 / 3 * 4 * 2;
    const UPLOADS: u8 = 40;
    let options = small_limits(IMAGE).with("REQUEST_TIMEOUT_SECONDS", "1");
    let mut stack = Stack::without_processes(options).await;
    let storage = stack.start_api_on_a_hung_storage().await;
    let before = peak_memory(&stack);

    let mut codes = Vec::new();
    for number in 0..UPLOADS {
        // Each upload comes from a different address to avoid the per-client limit.
        let client =
            ApiClient::with_local_address(stack.client.url(""), [127, 0, 1, number].into());
        let mut photo = photos::unique_retina();
        photo.bytes.resize(IMAGE, 0);
        let response = submit(&client, &[photo]).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
        let body: Value = response.json().await.expect("JSON");
        codes.push(body["error"]["code"].as_str().expect("a code").to_owned());
    }

    let grown = peak_memory(&stack) - before;
    assert!(grown < 2 * BUDGET, "memory grew by {grown} bytes, with a budget of {BUDGET}");
    let fit = codes.iter().take_while(|code| *code == "unavailable").count();
    assert!(0 < fit && fit * IMAGE < BUDGET, "{codes:?}");
    assert!(
        codes[fit..].iter().all(|code| code == "busy"),
        "requests over the memory budget must be rejected immediately: {codes:?}"
    );

    storage.resume();
    eventually("submissions to be accepted again", || async {
        let response = submit(&stack.client, &[photos::cat()]).await;
        (response.status() == StatusCode::ACCEPTED).then_some(())
    })
    .await;
    stack.stop().await;
}

fn peak_memory(stack: &Stack) -> usize {
    let bytes = stack.api.as_ref().expect("runs").peak_memory();
    usize::try_from(bytes).expect("fits")
}

#[tokio::test]
async fn new_requests_are_refused_while_earlier_requests_wait_for_a_stalled_database() {
    const CONNECTIONS: usize = 2;
    const FIRST: usize = 3 * CONNECTIONS;
    // A request that is waiting for a database connection fails after 20 s. Once no request has obtained a connection
    // for 10 s, the API rejects new requests immediately.
    let options = StackOptions::default()
        .with("DATABASE_POOL_SIZE", CONNECTIONS.to_string())
        .with("DATABASE_POOL_TIMEOUT_SECONDS", "20")
        .with("DATABASE_STATEMENT_TIMEOUT_SECONDS", "600")
        .with("REQUEST_TIMEOUT_SECONDS", "600");
    let stack = Stack::api_only(options).await;
    expect_accepted(submit(&stack.client, &[photos::cat()]).await).await;
    let mut other = stack.database.connect().await;
    other.batch_execute("LOCK TABLES blob_reservations WRITE").await.expect("locked");

    let (client, answered) = (stack.client.clone(), Arc::new(AtomicUsize::new(0)));
    let first: Vec<_> = (0..FIRST)
        .map(|_| {
            let (client, answered) = (client.clone(), answered.clone());
            tokio::spawn(async move {
                let response = submit(&client, &[photos::cat()]).await;
                answered.fetch_add(1, Ordering::Relaxed);
                response.status()
            })
        })
        .collect();
    let still_waiting = eventually("a new request to be rejected", || async {
        let photos = [photos::cat()];
        let response = timeout(Duration::from_secs(1), submit(&client, &photos));
        let response = response.await.ok()?;
        let still_waiting = FIRST - answered.load(Ordering::Relaxed);
        assert_unavailable(response, "unavailable").await;
        Some(still_waiting)
    })
    .await;
    assert_eq!(still_waiting, FIRST, "an earlier request was rejected before the new one");

    other.batch_execute("UNLOCK TABLES").await.expect("unlocked");
    let mut codes = Vec::new();
    for one in first {
        codes.push(one.await.expect("ran"));
    }
    assert!(codes.contains(&StatusCode::ACCEPTED), "no waiting request was accepted: {codes:?}");
    expect_accepted(submit(&stack.client, &[photos::cat()]).await).await;
    stack.stop().await;
}

#[tokio::test]
async fn unresponsive_storage_is_reported_before_the_request_times_out() {
    let stack = Stack::api_only(StackOptions::default().with("REQUEST_TIMEOUT_SECONDS", "4")).await;
    stack.failpoints.arm(Failpoint::BeforeBlobStored);

    let response = submit(&stack.client, &[photos::cat()]).await;

    assert_unavailable(response, "unavailable").await;
    assert_eq!(
        stack.database.count_rows("submissions").await,
        0,
        "the rejected submission was stored"
    );
    stack.failpoints.release(Failpoint::BeforeBlobStored);
    expect_accepted(submit(&stack.client, &[photos::cat()]).await).await;
    stack.stop().await;
}
