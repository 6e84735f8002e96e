//! More than the API can serve: it says so early, keeps within its memory, and one client does not take the
//! service away from others.

use diagflow_store::Failpoint;
use diagflow_tests::client::accepted;
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

/// An API that takes one image of at most `bytes` at a time, and has memory for two of the largest bodies.
fn small(bytes: usize) -> StackOptions {
    StackOptions::default()
        .with("MAX_FILES", "1")
        .with("MAX_FILE_BYTES", bytes.to_string())
        .with("SUBMIT_MEMORY_BYTES", "1")
}

async fn api_alone(options: StackOptions) -> Stack {
    let mut stack = Stack::without_processes(options).await;
    stack.start_api().await;
    stack
}

/// An upload of which all but the end has come: the API holds it, and waits.
async fn unfinished_upload(stack: &Stack, bytes: usize) -> TcpStream {
    let mut line = TcpStream::connect(stack.variable("LISTEN_ADDRESS")).await.expect("connects");
    let head = format!(
        "POST /api/user/submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        bytes + 1
    );
    line.write_all(head.as_bytes()).await.expect("writes");
    line.write_all(&vec![b' '; bytes]).await.expect("writes");
    line
}

async fn submit(client: &ApiClient, photos: &[Photo]) -> Response {
    client.post(&ApiClient::body("ana@example.org", "", photos), None).await.expect("an answer")
}

/// Asserts that an answer is 503 with this code, and when to come again.
async fn assert_put_off(answer: Response, code: &str) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], code, "{body}");
}

#[tokio::test]
async fn a_flood_from_one_address_leaves_room_for_the_others() {
    let stack = api_alone(small(256 * 1024)).await;
    let mut flood = Vec::new();
    let filled = async {
        loop {
            // One after the other: uploads that are read at the same time may all be refused, and leave room.
            flood.push(unfinished_upload(&stack, 300 * 1024).await);
            let answer = submit(&stack.client, &[photos::cat()]).await;
            if answer.status() != StatusCode::ACCEPTED {
                return answer;
            }
        }
    };
    let refused = timeout(LIMIT, filled).await.expect("the flood fills its share");
    assert_put_off(refused, "busy").await;

    let other = ApiClient::from_address(stack.client.address(""), [127, 0, 0, 2].into());
    accepted(submit(&other, &[photos::cat()]).await).await;

    // As soon as the flood is over, its sender is served as well.
    drop(flood);
    eventually("room for who flooded", || async {
        let answer = submit(&stack.client, &[photos::cat()]).await;
        (answer.status() == StatusCode::ACCEPTED).then_some(())
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn who_is_refused_early_and_goes_on_sending_still_gets_the_answer() {
    // More than the operating system keeps for a receiver that does not read.
    const SENT: usize = 64 * 1024 * 1024;
    let stack = api_alone(small(256 * 1024)).await;

    let mut line = unfinished_upload(&stack, SENT).await;
    line.write_all(b" ").await.expect("its end");

    let mut head = [0; 12];
    line.read_exact(&mut head).await.expect("an answer, not a broken connection");
    assert_eq!(&head, b"HTTP/1.1 413");
    stack.stop().await;
}

#[tokio::test]
async fn memory_stays_bounded_at_ten_times_the_load() {
    const MIB: usize = 1024 * 1024;
    const IMAGE: usize = 2 * MIB;
    // Its body takes 4/3 of it, in JSON with escapes four times; twice of that is what there is.
    const BUDGET: usize = IMAGE * 4 / 3 * 4 * 2;
    const UPLOAD: usize = IMAGE;
    const UPLOADS: usize = 10 * BUDGET / (3 * UPLOAD);
    let stack = api_alone(small(IMAGE)).await;
    accepted(submit(&stack.client, &[photos::cat()]).await).await;
    let process = stack.api.as_ref().expect("runs").id();
    let before = peak_memory(process);

    let uploads = (0..UPLOADS).map(|number| {
        // From as many addresses, so that it is not the share of one that bounds it.
        let address = [127, 0, 1, u8::try_from(number % 250).expect("small")].into();
        let client = ApiClient::from_address(stack.client.address(""), address);
        let noise = Photo { name: "x.png", media_type: "image/png", bytes: vec![7; UPLOAD] };
        async move { submit(&client, &[noise]).await.status() }
    });
    let answers = join_all(uploads).await;

    let refused = answers.iter().filter(|status| status.as_u16() == 503).count();
    assert!(refused > 0, "it was more than could be taken at once: {answers:?}");
    let grown = peak_memory(process) - before;
    assert!(grown < 2 * BUDGET, "{grown} bytes more, for a budget of {BUDGET}");
    accepted(submit(&stack.client, &[photos::cat()]).await).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_storage_that_hangs_does_not_use_up_the_memory() {
    const IMAGE: usize = 2 * 1024 * 1024;
    // As above.
    const BUDGET: usize = IMAGE * 4 / 3 * 4 * 2;
    const UPLOADS: u8 = 40;
    let options = small(IMAGE).with("REQUEST_TIMEOUT_SECONDS", "1");
    let mut stack = Stack::without_processes(options).await;
    let storage = stack.start_api_on_a_hung_storage().await;
    let process = stack.api.as_ref().expect("runs").id();
    let before = peak_memory(process);

    let mut codes = Vec::new();
    for number in 0..UPLOADS {
        // From as many addresses, so that it is not the share of one that bounds it.
        let client = ApiClient::from_address(stack.client.address(""), [127, 0, 1, number].into());
        let mut photo = photos::retina_of_its_own();
        photo.bytes.resize(IMAGE, 0);
        let answer = submit(&client, &[photo]).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
        let body: Value = answer.json().await.expect("JSON");
        codes.push(body["error"]["code"].as_str().expect("a code").to_owned());
    }

    let grown = peak_memory(process) - before;
    assert!(grown < 2 * BUDGET, "{grown} bytes more, for a budget of {BUDGET}");
    let fit = codes.iter().take_while(|code| *code == "unavailable").count();
    assert!(0 < fit && fit * IMAGE < BUDGET, "{codes:?}");
    assert!(codes[fit..].iter().all(|code| code == "busy"), "told at once, each: {codes:?}");

    storage.goes_on();
    eventually("submissions to be taken again", || async {
        let answer = submit(&stack.client, &[photos::cat()]).await;
        (answer.status() == StatusCode::ACCEPTED).then_some(())
    })
    .await;
    stack.stop().await;
}

/// The most memory that a process had so far, in bytes.
fn peak_memory(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes * 1024
}

#[tokio::test]
async fn a_database_that_stands_still_puts_off_newcomers_before_those_who_wait_are_told() {
    const CONNECTIONS: usize = 2;
    const FIRST: usize = 3 * CONNECTIONS;
    // Those who wait are told after 20 s; from 10 s on, newcomers are told at once.
    let options = StackOptions::default()
        .with("DATABASE_POOL_SIZE", CONNECTIONS.to_string())
        .with("DATABASE_WAIT_SECONDS", "20")
        .with("DATABASE_STATEMENT_SECONDS", "600")
        .with("REQUEST_TIMEOUT_SECONDS", "600");
    let stack = api_alone(options).await;
    accepted(submit(&stack.client, &[photos::cat()]).await).await;
    let mut other = stack.database.connect().await;
    other.batch_execute("LOCK TABLES unnamed_bytes WRITE").await.expect("locked");

    let (client, answered) = (stack.client.clone(), Arc::new(AtomicUsize::new(0)));
    let first: Vec<_> = (0..FIRST)
        .map(|_| {
            let (client, answered) = (client.clone(), answered.clone());
            tokio::spawn(async move {
                let answer = submit(&client, &[photos::cat()]).await;
                answered.fetch_add(1, Ordering::Relaxed);
                answer.status()
            })
        })
        .collect();
    let still_waiting = eventually("a newcomer to be put off", || async {
        let photos = [photos::cat()];
        let answer = timeout(Duration::from_secs(1), submit(&client, &photos));
        let answer = answer.await.ok()?;
        let still_waiting = FIRST - answered.load(Ordering::Relaxed);
        assert_put_off(answer, "unavailable").await;
        Some(still_waiting)
    })
    .await;
    assert_eq!(still_waiting, FIRST, "nobody of those who came before was told yet");

    other.batch_execute("UNLOCK TABLES").await.expect("unlocked");
    let mut codes = Vec::new();
    for one in first {
        codes.push(one.await.expect("ran"));
    }
    assert!(codes.contains(&StatusCode::ACCEPTED), "who waited is served: {codes:?}");
    accepted(submit(&stack.client, &[photos::cat()]).await).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_storage_that_does_not_answer_is_told_before_the_request_is_given_up() {
    let stack = api_alone(StackOptions::default().with("REQUEST_TIMEOUT_SECONDS", "4")).await;
    stack.failpoints.arm(Failpoint::BytesUnstored);

    let answer = submit(&stack.client, &[photos::cat()]).await;

    assert_put_off(answer, "unavailable").await;
    assert_eq!(stack.database.rows("submissions").await, 0, "it is known that it is not stored");
    stack.failpoints.release(Failpoint::BytesUnstored);
    accepted(submit(&stack.client, &[photos::cat()]).await).await;
    stack.stop().await;
}
