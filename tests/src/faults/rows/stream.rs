//! Between the event stream and its listeners.

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

/// How often a stream is cut, each time a little later.
const CUTS: usize = 40;
/// An answer's head and the beginning of an event.
const FIRST_CUT: usize = 700;
/// No multiple of an event's length, so that the cuts fall everywhere.
const CUT_STEP: usize = 97;
/// Listeners that never read.
const STALLED_READERS: usize = 20;
/// What one of them can take in before it is full, at most.
const RECEIVE_BUFFER: u32 = 4096;
/// The length of what each event says: as long as the records allow.
const MESSAGE_LENGTH: usize = 500;
/// For how long the API waits for somebody who takes nothing (`write_time` in `api/src/server.rs`). Then it closes
/// the connection, which is what it promises, too.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Cut in the middle of events and resumed at the other replica; marks that are stale or absurd; readers who never
/// read, of a story so long that the API cannot get rid of it.
pub(crate) async fn interruptions() -> RowReport {
    let options = StackOptions::default().scenario("stuck*1, delay=100ms");
    let mut testbed = Testbed::start(options).await;
    let (replica, other) = testbed.stack.start_replica().await;
    let submission = testbed.submit().await;
    testbed.stack.wait_for_status(&submission, "processing").await;
    let api = testbed.stack.api.as_ref().expect("runs").id();
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
    within(2 * LIMIT, "others to hear all of it", || async {
        (listener.received().len() > event_count).then_some(())
    })
    .await;
    wait_until_blocked(&stalled_readers, event_count).await;
    Footprint::of(api).assert_small(&before, event_count);
    for mark in ["-1", "many", "99999999999999999999", "999999999"] {
        let answer = testbed.stack.client.open_events(&submission, Some(mark)).await;
        let first = SseStream::new(answer.expect("an answer")).into_events().next().await;
        assert_eq!(first.map(|event| event.id), Some(1), "{mark}: from the beginning");
    }
    let execution = testbed.stack.wait_for_polls(1).await;
    testbed.stack.loopai.complete(&execution).expect("is under way");
    testbed.stack.wait_for_status(&submission, "completed").await;
    eventually("others to hear its end", || async { listener.is_done().then_some(()) }).await;
    wait_until_blocked(&stalled_readers, event_count).await;
    Footprint::of(api).assert_small(&before, event_count);
    let stale = testbed.stack.client.open_events(&submission, Some("0")).await.expect("an answer");
    assert_eq!(stale.status(), StatusCode::OK, "the whole story again");

    eventually("the cuts to be over", || async {
        (cut_client.streams_opened() > CUTS).then_some(())
    })
    .await;
    for proxy in &proxies {
        assert!(proxy.cut_mid_event() > 0, "an event was cut in its middle");
        assert!(
            proxy.occurrences() > 0,
            "somebody came from the other replica, or back, with a mark"
        );
    }
    drop(stalled_readers);
    let report = testbed.report().await;
    replica.stop().await;
    report
}

/// A line to each replica that is cut again and again, and counts who goes on after an event.
async fn cutting_proxies(apis: [&ApiClient; 2]) -> [Proxy; 2] {
    let proxies = apis.map(async |api| {
        let proxy = Proxy::to(&api.url("").replace("http://", "")).await;
        // Twice as many as are waited for: a connection on which the API asks to come again uses one up, too.
        proxy.cut_after((0..=CUTS).map(|cut| FIRST_CUT + 2 * CUT_STEP * cut));
        proxy.count(b"last-event-id: ");
        proxy
    });
    futures::future::join_all(proxies).await.try_into().ok().expect("two")
}

/// How many events are told at once: together half as much again as Linux keeps at most for a connection that
/// nobody reads.
fn events_to_fill_buffers() -> usize {
    let sizes = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem").expect("sizes");
    let largest = sizes.split_whitespace().last().and_then(|size| size.parse::<usize>().ok());
    (largest.expect("a number") + 2 * RECEIVE_BUFFER as usize) * 3 / 2 / MESSAGE_LENGTH
}

/// Makes the story of a submission that is under way very long. The product could do so by itself only in days.
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
    connection.batch_execute(&statement).await.expect("told");
}

/// Somebody who opens a stream and never reads from it.
struct StalledReader {
    connection: TcpStream,
    api: SocketAddr,
    since: Instant,
}

/// What is under way on a connection: bytes that the API has said and the system keeps, and bytes that have arrived
/// and were not read.
type Queues = (u64, u64);

impl StalledReader {
    async fn listen(api: &ApiClient, submission: &AcceptedSubmission) -> StalledReader {
        let api: SocketAddr = api.url("").replace("http://", "").parse().expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(RECEIVE_BUFFER).expect("a small buffer");
        let since = Instant::now();
        let mut connection = socket.connect(api).await.expect("connects");
        let request = format!(
            "GET /api/user/events/{} HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {}\r\n\r\n",
            submission.submission_id, submission.access_token
        );
        connection.write_all(request.as_bytes()).await.expect("asks");
        StalledReader { connection, api, since }
    }

    /// What is on its way to it; `None` where the API has closed the connection.
    ///
    /// # Panics
    /// When that was sooner than it may.
    fn in_flight(&self, connections: &[TcpConnection]) -> Option<Queues> {
        let ours = self.connection.local_addr().expect("an address").port();
        let api = self.api.port();
        let between = |from: u16, to: u16| {
            connections.iter().find(|one| (one.from, one.to) == (from, to) && one.is_established)
        };
        let Some(theirs) = between(api, ours) else {
            assert!(self.since.elapsed() >= WRITE_TIMEOUT, "let go early");
            return None;
        };
        Some((theirs.send_queue, between(ours, api)?.receive_queue))
    }
}

/// Waits until the API can say nothing more to any of them: less than the story is on its way, and it stays so; or
/// it has let them go.
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

/// One end of a connection of this machine.
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

    /// Number, own address, other's address, state, queues, as `proc(5)` has them.
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

/// What a process needs.
#[derive(Debug)]
struct Footprint {
    /// Memory in bytes.
    memory: u64,
    threads: u64,
}

impl Footprint {
    fn of(process: u32) -> Footprint {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let number = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
            line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
        };
        Footprint { memory: number("VmRSS:") << 10, threads: number("Threads:") }
    }

    /// Less than a quarter of what it would take to keep the story for each who does not read it.
    fn assert_small(&self, before: &Footprint, event_count: usize) {
        let memory = (STALLED_READERS * event_count * MESSAGE_LENGTH / 4) as u64;
        assert!(self.memory < before.memory + memory, "{self:?}, before {before:?}");
        assert!(
            self.threads < before.threads + STALLED_READERS as u64 / 2,
            "{self:?}, before {before:?}"
        );
    }
}
