use crate::client::{AcceptedSubmission, ApiClient};
use crate::eventually::{LIMIT, eventually, within};
use crate::faults::listener::Listener;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::proxy::Proxy;
use crate::sse::SseStream;
use crate::stack::StackOptions;
use diesel_async::SimpleAsyncConnection;
use futures::StreamExt;
use reqwest::StatusCode;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// Number of connections to cut, each a little later than the previous one.
const CUTS: usize = 40;
/// Number of bytes before the first cut. They include the response headers and part of an event.
const FIRST_CUT: usize = 700;
/// Number of bytes between two cut positions. It is not a multiple of an event's length, so events are cut at different
/// positions.
const CUT_STEP: usize = 97;
const STALLED_READERS: usize = 20;
/// Requested size of a stalled reader's receive buffer. Linux doubles it.
const RECEIVE_BUFFER: u32 = 4096;
/// Maximum length of an event's message in the database.
const MESSAGE_LENGTH: usize = 500;
/// Time after which the API closes a connection whose client accepts no data (`CONNECTION_TIMEOUTS` in the API's
/// `server.rs`).
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Streams are cut mid-event and resumed on another replica. Clients send a stale or invalid `Last-Event-ID`. Readers
/// stall while the API has more events to send than fit into the socket buffers.
pub(crate) async fn interruptions() -> RowReport {
    let options = StackOptions::default().scenario("stuck*1, delay=100ms");
    let mut testbed = Testbed::start(options).await;
    let (replica, other) = testbed.stack.start_replica().await;
    let submission = testbed.submit().await;
    testbed.stack.wait_for_status(&submission, "processing").await;
    let api = testbed.stack.api.as_ref().expect("a running process").id();
    let event_count = events_to_fill_buffers();
    let before = Footprint::of(api);
    insert_events(&testbed, &submission, event_count).await;
    testbed.listen_at(&other, &submission);
    let proxies = cutting_proxies([&testbed.stack.client, &other]).await;
    let via = |proxy: &Proxy| ApiClient::new(format!("http://{}", proxy.address()));
    let cut_client = ApiClient::round_robin(&[via(&proxies[0]), via(&proxies[1])]);
    testbed.listen_at(&cut_client, &submission);
    let listener = Listener::follow(testbed.stack.client.clone(), submission.clone());

    let mut stalled_readers = Vec::new();
    for _ in 0..STALLED_READERS {
        stalled_readers.push(StalledReader::listen(&testbed.stack.client, &submission).await);
    }
    within(2 * LIMIT, "the listener to receive all events", || async {
        (listener.received().len() > event_count).then_some(())
    })
    .await;
    wait_until_blocked(&stalled_readers, event_count).await;
    Footprint::of(api).assert_small(&before, event_count);
    for mark in ["-1", "many", "99999999999999999999", "999999999"] {
        assert_starts_with_the_first_event(&testbed.stack.client, &submission, mark).await;
    }
    let execution = testbed.stack.wait_for_polls(1).await;
    testbed.stack.loopai.complete(&execution).expect("an execution in progress");
    testbed.stack.wait_for_status(&submission, "completed").await;
    eventually("the listener to receive the end of the stream", || async {
        listener.is_done().then_some(())
    })
    .await;
    wait_until_blocked(&stalled_readers, event_count).await;
    Footprint::of(api).assert_small(&before, event_count);
    let stale = testbed.stack.client.open_events(&submission, Some("0")).await.expect("a response");
    assert_eq!(
        stale.status(),
        StatusCode::OK,
        "a client with a stale event id gets all events again"
    );

    eventually("all cuts to happen", || async {
        (cut_client.streams_opened() > CUTS).then_some(())
    })
    .await;
    for proxy in &proxies {
        assert!(proxy.cut_mid_event() > 0, "no cut fell within an event");
        assert!(proxy.occurrences() > 0, "no listener resumed after an event");
    }
    drop(stalled_readers);
    let report = testbed.report().await;
    replica.stop().await;
    report
}

/// Opens a stream with an invalid `Last-Event-ID`.
async fn assert_starts_with_the_first_event(
    client: &ApiClient,
    submission: &AcceptedSubmission,
    mark: &str,
) {
    let response = client.open_events(submission, Some(mark)).await;
    let first = SseStream::new(response.expect("a response")).into_events().next().await;
    assert_eq!(first.map(|event| event.id), Some(1), "{mark}");
}

/// Starts proxies that cut connections and count how many clients resume after an event.
async fn cutting_proxies(apis: [&ApiClient; 2]) -> [Proxy; 2] {
    let proxies = apis.map(async |api| {
        let proxy = Proxy::to(&api.url("").replace("http://", "")).await;
        // There are twice as many cuts as needed because a connection that gets a 503 also uses up a cut.
        proxy.cut_after((0..=CUTS).map(|cut| FIRST_CUT + 2 * CUT_STEP * cut));
        proxy.count(b"last-event-id: ");
        proxy
    });
    futures::future::join_all(proxies).await.try_into().ok().expect("two proxies")
}

/// Returns how many events it takes to exceed a stalled reader's socket buffers by half.
fn events_to_fill_buffers() -> usize {
    let sizes = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem").expect("the buffer sizes");
    let largest = sizes.split_whitespace().last().and_then(|size| size.parse::<usize>().ok());
    (largest.expect("a number") + 2 * RECEIVE_BUFFER as usize) * 3 / 2 / MESSAGE_LENGTH
}

/// Inserts events directly into the database because a run would take days to produce so many.
async fn insert_events(testbed: &Testbed, submission: &AcceptedSubmission, event_count: usize) {
    let id = &submission.submission_id;
    let statement = format!(
        "START TRANSACTION; SELECT id FROM submissions WHERE id = '{id}' FOR UPDATE; \
         INSERT INTO events (submission_id, number, name, step, status, message, created_at) \
         SELECT id, last_event + seq, 'status_update', 'waiting', status, REPEAT('x', {MESSAGE_LENGTH}), NOW(6) \
         FROM submissions JOIN seq_1_to_{event_count} WHERE id = '{id}'; \
         UPDATE submissions SET last_event = last_event + {event_count} WHERE id = '{id}'; COMMIT"
    );
    let mut connection = testbed.stack.database.connect().await;
    connection.batch_execute(&statement).await.expect("inserted events");
}

struct StalledReader {
    connection: TcpStream,
    api: SocketAddr,
    since: Instant,
}

/// The numbers of bytes in the sender's and the receiver's socket buffers.
type Queues = (u64, u64);

impl StalledReader {
    async fn listen(api: &ApiClient, submission: &AcceptedSubmission) -> StalledReader {
        let api: SocketAddr = api.url("").replace("http://", "").parse().expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(RECEIVE_BUFFER).expect("a small buffer");
        let since = Instant::now();
        let mut connection = socket.connect(api).await.expect("a connection");
        let request = format!(
            "GET /api/user/events/{} HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {}\r\n\r\n",
            submission.submission_id, submission.access_token
        );
        connection.write_all(request.as_bytes()).await.expect("a sent request");
        StalledReader { connection, api, since }
    }

    /// Returns the number of buffered bytes, or `None` if the API has closed the connection.
    ///
    /// # Panics
    ///
    /// Panics if the API closed the connection before [`WRITE_TIMEOUT`] had passed.
    fn in_flight(&self, connections: &[TcpConnection]) -> Option<Queues> {
        let ours = self.connection.local_addr().expect("an address").port();
        let api = self.api.port();
        let between = |from: u16, to: u16| {
            connections.iter().find(|one| (one.from, one.to) == (from, to) && one.is_established)
        };
        let Some(theirs) = between(api, ours) else {
            assert!(self.since.elapsed() >= WRITE_TIMEOUT, "closed too early");
            return None;
        };
        Some((theirs.send_queue, between(ours, api)?.receive_queue))
    }
}

/// Waits until the API is blocked on every stalled reader, which is the case once the buffers stop changing and do not
/// contain all events. Connections that the API has closed are ignored.
async fn wait_until_blocked(stalled_readers: &[StalledReader], event_count: usize) {
    let all = || {
        let connections = TcpConnection::all();
        stalled_readers.iter().map(|one| one.in_flight(&connections)).collect::<Vec<_>>()
    };
    within(2 * LIMIT, "the API to be blocked", || async {
        let before = all();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let is_full = |(send_queue, receive_queue): Queues| {
            send_queue > 0 && send_queue + receive_queue < (event_count * MESSAGE_LENGTH) as u64
        };
        let now = all();
        (now == before && now.into_iter().flatten().all(is_full)).then_some(())
    })
    .await;
}

struct TcpConnection {
    from: u16,
    to: u16,
    is_established: bool,
    send_queue: u64,
    receive_queue: u64,
}

impl TcpConnection {
    fn all() -> Vec<TcpConnection> {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("connections");
        table.lines().skip(1).filter_map(Self::of).collect()
    }

    /// Parses a line with the fields index, local address, remote address, state and queues (see `proc(5)`).
    fn of(line: &str) -> Option<TcpConnection> {
        let mut fields = line.split_whitespace().skip(1);
        let mut port = || {
            let (_, port) = fields.next()?.rsplit_once(':')?;
            u16::from_str_radix(port, 16).ok()
        };
        let (from, to) = (port()?, port()?);
        let is_established = fields.next()? == "01";
        let (send_queue, receive_queue) = fields.next()?.split_once(':')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (send_queue, receive_queue) = (number(send_queue)?, number(receive_queue)?);
        Some(TcpConnection { from, to, is_established, send_queue, receive_queue })
    }
}

#[derive(Debug)]
struct Footprint {
    memory: u64,
    threads: u64,
}

impl Footprint {
    fn of(process: u32) -> Footprint {
        let status =
            std::fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
        let number = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).expect("the field");
            line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
        };
        Footprint { memory: number("VmRSS:") << 10, threads: number("Threads:") }
    }

    /// Asserts that the API uses less than a quarter of the memory that buffering all events for all stalled readers
    /// would take.
    fn assert_small(&self, before: &Footprint, event_count: usize) {
        let memory = (STALLED_READERS * event_count * MESSAGE_LENGTH / 4) as u64;
        assert!(self.memory < before.memory + memory, "{self:?}, before {before:?}");
        assert!(
            self.threads < before.threads + STALLED_READERS as u64 / 2,
            "{self:?}, before {before:?}"
        );
    }
}
