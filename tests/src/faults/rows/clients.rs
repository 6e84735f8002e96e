//! The row for a client that uses as many resources as its limits permit.

use crate::client::{AcceptedSubmission, ApiClient};
use crate::eventually::{LIMIT, eventually, within};
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::StackOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

const GREEDY_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 30);
const MAX_CONNECTIONS: usize = 128;
const MAX_STREAMS: usize = 64;
/// Exceeds the limit on streams. Taken together, all kinds of connections exceed the connection limit.
const CONNECTIONS_OF_EACH_KIND: usize = 80;
/// Pause between the bytes of a slow request body.
const DRIP: Duration = Duration::from_millis(100);
/// Pause before reopening a closed connection.
const REOPEN: Duration = Duration::from_millis(200);
const SUBMISSIONS: usize = 20;
/// Maximum response time for other clients. The tests share two cores with an unoptimised API.
const MAX_RESPONSE: Duration = Duration::from_secs(5);
/// Maximum growth in the API's memory usage. Each form may take up 128 KiB.
const MAX_GROWTH: u64 = 128 << 20;

/// One client holds as many event streams, connections, slow request bodies and forms without a field as the API
/// allows, and reopens each one when the API closes it. Meanwhile, other clients submit and follow their submissions.
pub(crate) async fn one_greedy_client() -> RowReport {
    let options = StackOptions::default()
        .scenario("stuck*1, delay=100ms")
        .with("MAX_CONNECTIONS_PER_CLIENT", MAX_CONNECTIONS.to_string())
        .with("MAX_STREAMS_PER_CLIENT", MAX_STREAMS.to_string());
    let mut testbed = Testbed::start(options).await;
    let followed = testbed.submit().await;
    testbed.stack.wait_for_status(&followed, "processing").await;
    let memory = testbed.stack.api.as_ref().expect("a running process").memory();
    let mut greedy = GreedyClient::new(&testbed.stack.client);
    greedy.open_streams(&followed);
    wait_for_refusal(&testbed, "diagflow_event_streams_refused_total").await;
    greedy.open_connections();
    wait_for_refusal(&testbed, "diagflow_connections_refused_total").await;

    let others = ApiClient::new(testbed.stack.client.url(""));
    for _ in 0..SUBMISSIONS {
        let submitted_at = Instant::now();
        let submission = testbed.submit().await;
        assert_in_time("a submission", submitted_at);
        let asked_at = Instant::now();
        assert!(others.get_status(&submission).await.is_ok_and(|it| it.status().is_success()));
        assert_in_time("a status", asked_at);
        let asked_at = Instant::now();
        assert_eq!(others.get("/ready").await.status(), 200);
        assert_in_time("/ready", asked_at);
    }
    let grown = testbed.stack.api.as_ref().expect("a running process").memory() - memory;
    assert!(grown < MAX_GROWTH, "the API's memory grew by {grown} bytes");

    let execution = testbed.stack.wait_for_polls(1).await;
    testbed.stack.loopai.complete(&execution).expect("an execution in progress");
    within(2 * LIMIT, "the first submission to end", || async {
        let document = testbed.stack.client.status(&followed).await.ok()?;
        (document["status"] == "completed").then_some(())
    })
    .await;
    drop(greedy);
    testbed.report().await
}

fn assert_in_time(what: &str, since: Instant) {
    assert!(since.elapsed() < MAX_RESPONSE, "{what} took {:?}", since.elapsed());
}

async fn wait_for_refusal(testbed: &Testbed, metric: &str) {
    eventually(metric, || async {
        let metrics = testbed.stack.client.get("/metrics").await.text().await.ok()?;
        metrics.lines().any(|line| line.starts_with(metric)).then_some(())
    })
    .await;
}

/// The tasks that hold one client's connections. Dropping them closes the connections.
struct GreedyClient {
    api: SocketAddr,
    tasks: JoinSet<()>,
}

impl GreedyClient {
    fn new(api: &ApiClient) -> GreedyClient {
        let api = api.url("").replace("http://", "").parse().expect("an address");
        GreedyClient { api, tasks: JoinSet::new() }
    }

    fn open_streams(&mut self, submission: &AcceptedSubmission) {
        let AcceptedSubmission { submission_id, access_token, .. } = submission;
        let stream = format!(
            "GET /api/user/events/{submission_id} HTTP/1.1\r\nHost: x\r\n\
             Authorization: Bearer {access_token}\r\n\r\n"
        );
        self.open(&stream, Then::Read);
    }

    fn open_connections(&mut self) {
        let form = format!(
            "POST /api/user/submit HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n\
             Content-Length: 60000000\r\n\r\n{}",
            "x".repeat(60_000)
        );
        self.open(&form, Then::Drip);
        let sign_in = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
            Content-Length: 60000\r\n\r\n";
        self.open(sign_in, Then::Drip);
        self.open("GET /ready", Then::Read);
    }

    fn open(&mut self, opening: &str, then: Then) {
        for _ in 0..CONNECTIONS_OF_EACH_KIND {
            self.tasks.spawn(hold(self.api, opening.to_owned(), then));
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Then {
    /// Reads until the API closes the connection.
    Read,
    /// Sends one byte at a time until the API closes the connection.
    Drip,
}

/// Reopens the connection whenever the API closes it.
async fn hold(address: SocketAddr, opening: String, then: Then) {
    loop {
        // Any failure means that the API has closed the connection.
        let _ = hold_one(address, opening.as_bytes(), then).await;
        tokio::time::sleep(REOPEN).await;
    }
}

async fn hold_one(address: SocketAddr, opening: &[u8], then: Then) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((GREEDY_CLIENT, 0).into())?;
    let mut connection = socket.connect(address).await?;
    connection.write_all(opening).await?;
    match then {
        Then::Read => while connection.read(&mut [0; 4096]).await? > 0 {},
        Then::Drip => loop {
            connection.write_all(b"x").await?;
            tokio::time::sleep(DRIP).await;
        },
    }
    Ok(())
}
