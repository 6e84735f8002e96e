//! Between the event stream and its listeners.

use crate::client::{Accepted, ApiClient, events_of};
use crate::eventually::{LIMIT, eventually, within};
use crate::faults::ledger::Listener;
use crate::faults::report::Report;
use crate::faults::world::World;
use crate::proxy::Proxy;
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
const FURTHER: usize = 97;
/// Listeners that never read.
const DEAF: usize = 20;
/// What one of them can take in before it is full, at most.
const SMALL: u32 = 4096;
/// The length of what each event says: as long as the records allow.
const LONG: usize = 500;
/// For how long the API waits for somebody who takes nothing (`write_time` in `api/src/server.rs`). Then it closes
/// the connection, which is what it promises, too.
const LET_GO: Duration = Duration::from_secs(60);

/// Cut in the middle of events and resumed at the other replica; marks that are stale or absurd; readers who never
/// read, of a story so long that the API cannot get rid of it.
pub(crate) async fn cuts() -> Report {
    let options = StackOptions::default().scenario("stuck*1, delay=100ms");
    let mut world = World::start(options).await;
    let (replica, other) = world.stack.start_replica().await;
    let submission = world.submit().await;
    world.stack.until(&submission, "processing").await;
    let api = world.stack.api.as_ref().expect("runs").id();
    let many = more_than_linux_keeps();
    let before = Footprint::of(api);
    tell_much(&world, &submission, many).await;
    world.listen_at(&other, &submission);
    let lines = cut_lines([&world.stack.client, &other]).await;
    let by_line = |line: &Proxy| ApiClient::new(format!("http://{}", line.address()));
    let ear = ApiClient::in_turn(&[by_line(&lines[0]), by_line(&lines[1])]);
    world.listen_at(&ear, &submission);
    let hearing = Listener::follow(world.stack.client.clone(), submission.clone());

    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        deaf.push(Deaf::listen(&world.stack.client, &submission).await);
    }
    within(2 * LIMIT, "others to hear all of it", || async {
        (hearing.heard().len() > many).then_some(())
    })
    .await;
    until_blocked(&deaf, many).await;
    Footprint::of(api).assert_small(&before, many);
    for mark in ["-1", "many", "99999999999999999999", "999999999"] {
        let answer = world.stack.client.open_events(&submission, Some(mark)).await;
        let first = events_of(answer.expect("an answer")).next().await;
        assert_eq!(first.map(|event| event.id), Some(1), "{mark}: from the beginning");
    }
    let execution = world.stack.looked_at(1).await;
    world.stack.loopai.complete(&execution).expect("is under way");
    world.stack.until(&submission, "completed").await;
    eventually("others to hear its end", || async { hearing.is_done().then_some(()) }).await;
    until_blocked(&deaf, many).await;
    Footprint::of(api).assert_small(&before, many);
    let stale = world.stack.client.open_events(&submission, Some("0")).await.expect("an answer");
    assert_eq!(stale.status(), StatusCode::OK, "the whole story again");

    eventually("the cuts to be over", || async { (ear.streams() > CUTS).then_some(()) }).await;
    for line in &lines {
        assert!(line.cut_in_the_middle() > 0, "an event was cut in its middle");
        assert!(line.counted() > 0, "somebody came from the other replica, or back, with a mark");
    }
    drop(deaf);
    let report = world.report().await;
    replica.stopped().await;
    report
}

/// A line to each replica that is cut again and again, and counts who goes on after an event.
async fn cut_lines(apis: [&ApiClient; 2]) -> [Proxy; 2] {
    let lines = apis.map(async |api| {
        let line = Proxy::to(&api.address("").replace("http://", "")).await;
        // Twice as many as are waited for: a connection on which the API asks to come again uses one up, too.
        line.cut_after((0..=CUTS).map(|cut| FIRST_CUT + 2 * FURTHER * cut));
        line.count(b"last-event-id: ");
        line
    });
    futures::future::join_all(lines).await.try_into().ok().expect("two")
}

/// How many events are told at once: together half as much again as Linux keeps at most for a connection that
/// nobody reads.
fn more_than_linux_keeps() -> usize {
    let sizes = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem").expect("sizes");
    let largest = sizes.split_whitespace().last().and_then(|size| size.parse::<usize>().ok());
    (largest.expect("a number") + 2 * SMALL as usize) * 3 / 2 / LONG
}

/// Makes the story of a submission that is under way very long. The product could do so by itself only in days.
async fn tell_much(world: &World, submission: &Accepted, many: usize) {
    let id = &submission.submission_id;
    let telling = format!(
        "START TRANSACTION; SELECT id FROM submissions WHERE id = '{id}' FOR UPDATE; \
         INSERT INTO events (submission_id, number, name, step, status, message, created_at) \
         SELECT id, last_event + seq, 'status_update', 'waiting', status, REPEAT('x', {LONG}), NOW(6) \
         FROM submissions JOIN seq_1_to_{many} WHERE id = '{id}'; \
         UPDATE submissions SET last_event = last_event + {many} WHERE id = '{id}'; COMMIT"
    );
    let mut connection = world.stack.database.connect().await;
    connection.batch_execute(&telling).await.expect("told");
}

/// Somebody who opens a stream and never reads from it.
struct Deaf {
    connection: TcpStream,
    api: SocketAddr,
    since: Instant,
}

/// What is under way on a connection: bytes that the API has said and the system keeps, and bytes that have arrived
/// and were not read.
type Queues = (u64, u64);

impl Deaf {
    async fn listen(api: &ApiClient, submission: &Accepted) -> Deaf {
        let api: SocketAddr = api.address("").replace("http://", "").parse().expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(SMALL).expect("a small buffer");
        let since = Instant::now();
        let mut connection = socket.connect(api).await.expect("connects");
        let request = format!(
            "GET /api/user/events/{} HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {}\r\n\r\n",
            submission.submission_id, submission.access_token
        );
        connection.write_all(request.as_bytes()).await.expect("asks");
        Deaf { connection, api, since }
    }

    /// What is on its way to it; `None` where the API has closed the connection.
    ///
    /// # Panics
    /// When that was sooner than it may.
    fn on_its_way(&self, connections: &[Connection]) -> Option<Queues> {
        let ours = self.connection.local_addr().expect("an address").port();
        let api = self.api.port();
        let between = |from: u16, to: u16| {
            connections.iter().find(|one| (one.from, one.to) == (from, to) && one.is_established)
        };
        let Some(theirs) = between(api, ours) else {
            assert!(self.since.elapsed() >= LET_GO, "let go early");
            return None;
        };
        Some((theirs.sends, between(ours, api)?.received))
    }
}

/// Waits until the API can say nothing more to any of them: less than the story is on its way, and it stays so; or
/// it has let them go.
async fn until_blocked(deaf: &[Deaf], many: usize) {
    let all = || {
        let connections = Connection::all();
        deaf.iter().map(|one| one.on_its_way(&connections)).collect::<Vec<_>>()
    };
    within(2 * LIMIT, "the API to be blocked", || async {
        let before = all();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let is_full =
            |(sends, received): Queues| sends > 0 && sends + received < (many * LONG) as u64;
        let now = all();
        (now == before && now.into_iter().flatten().all(is_full)).then_some(())
    })
    .await;
}

/// One end of a connection of this machine.
struct Connection {
    from: u16,
    to: u16,
    is_established: bool,
    sends: u64,
    received: u64,
}

impl Connection {
    fn all() -> Vec<Connection> {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("connections");
        table.lines().skip(1).filter_map(Self::of).collect()
    }

    /// Number, own address, other's address, state, queues, as `proc(5)` has them.
    fn of(line: &str) -> Option<Connection> {
        let mut fields = line.split_whitespace().skip(1);
        let mut port = || {
            let (_, port) = fields.next()?.rsplit_once(':')?;
            u16::from_str_radix(port, 16).ok()
        };
        let (from, to) = (port()?, port()?);
        let is_established = fields.next()? == "01";
        let (sends, received) = fields.next()?.split_once(':')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (sends, received) = (number(sends)?, number(received)?);
        Some(Connection { from, to, is_established, sends, received })
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
    fn assert_small(&self, before: &Footprint, many: usize) {
        let memory = (DEAF * many * LONG / 4) as u64;
        assert!(self.memory < before.memory + memory, "{self:?}, before {before:?}");
        assert!(self.threads < before.threads + DEAF as u64 / 2, "{self:?}, before {before:?}");
    }
}
