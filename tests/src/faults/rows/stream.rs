//! Between the event stream and its listeners.

use crate::client::{Accepted, ApiClient, events_of};
use crate::eventually;
use crate::faults::ledger::Listener;
use crate::faults::table::Report;
use crate::faults::world::World;
use crate::proxy::Proxy;
use crate::stack::StackOptions;
use diesel_async::SimpleAsyncConnection;
use futures::StreamExt;
use reqwest::StatusCode;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// How often a stream is cut, each time a little later.
const CUTS: usize = 40;
/// An answer's head and the beginning of an event.
const FIRST_CUT: usize = 700;
/// No multiple of an event's length, so that the cuts fall everywhere.
const FURTHER: usize = 97;
/// Listeners that never read.
const DEAF: usize = 10;
/// What one of them can take in before it is full, at most.
const SMALL: u32 = 4096;
/// Events that are told at once, and the length of what each says: together more than what Linux buffers for a
/// connection that nobody reads, some 2.5 MB.
const MANY: usize = 6000;
const LONG: usize = 500;
/// How much more memory the API may need with them: several times what they have not read.
const MEMORY: u64 = 150 << 20;

/// Cut in the middle of events and resumed at the other replica; marks that are stale or absurd; readers who never
/// read, of a story so long that the API cannot get rid of it.
pub(crate) async fn cuts() -> Report {
    let options = StackOptions::default().scenario("stuck*1, delay=100ms");
    let mut world = World::start(options).await;
    let (replica, other) = world.stack.start_replica().await;
    let submission = world.submit().await;
    world.stack.until(&submission, "processing").await;
    let api = world.stack.api.as_ref().expect("runs").id();
    let before = Footprint::of(api);
    tell_much(&world, &submission).await;
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
    eventually("others to hear all of it", || async {
        (hearing.heard().len() > MANY).then_some(())
    })
    .await;
    for one in &deaf {
        one.until_blocked().await;
    }
    for mark in ["-1", "many", "99999999999999999999", "9999"] {
        let answer = world.stack.client.open_events(&submission, Some(mark)).await;
        let first = events_of(answer.expect("an answer")).next().await;
        assert_eq!(first.map(|event| event.id), Some(1), "{mark}: from the beginning");
    }
    let execution = world.stack.looked_at(1).await;
    world.stack.loopai.complete(&execution).expect("is under way");
    world.stack.until(&submission, "completed").await;
    eventually("others to hear its end", || async { hearing.is_done().then_some(()) }).await;
    for one in &deaf {
        one.until_blocked().await;
    }
    Footprint::of(api).assert_small(&before);
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
        // One more than half of them, so that there are as many whoever begins.
        line.cut_after((0..=CUTS / 2).map(|cut| FIRST_CUT + 2 * FURTHER * cut));
        line.count(b"last-event-id: ");
        line
    });
    futures::future::join_all(lines).await.try_into().ok().expect("two")
}

/// Makes the story of a submission that is under way very long. The product could do so by itself only in days.
async fn tell_much(world: &World, submission: &Accepted) {
    let id = &submission.submission_id;
    let telling = format!(
        "START TRANSACTION; SELECT id FROM submissions WHERE id = '{id}' FOR UPDATE; \
         INSERT INTO events (submission_id, number, name, step, status, message, created_at) \
         SELECT id, last_event + seq, 'status_update', 'waiting', status, REPEAT('x', {LONG}), NOW(6) \
         FROM submissions JOIN seq_1_to_{MANY} WHERE id = '{id}'; \
         UPDATE submissions SET last_event = last_event + {MANY} WHERE id = '{id}'; COMMIT"
    );
    let mut connection = world.stack.database.connect().await;
    connection.batch_execute(&telling).await.expect("told");
}

/// Somebody who opens a stream and never reads from it.
struct Deaf {
    connection: TcpStream,
    api: SocketAddr,
}

impl Deaf {
    async fn listen(api: &ApiClient, submission: &Accepted) -> Deaf {
        let api: SocketAddr = api.address("").replace("http://", "").parse().expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(SMALL).expect("a small buffer");
        let mut connection = socket.connect(api).await.expect("connects");
        let request = format!(
            "GET /api/user/events/{} HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {}\r\n\r\n",
            submission.submission_id, submission.access_token
        );
        connection.write_all(request.as_bytes()).await.expect("asks");
        Deaf { connection, api }
    }

    /// Waits until the API can say nothing more: less than the story is on its way, and it stays so.
    async fn until_blocked(&self) {
        eventually("the API to be blocked", || async {
            let before = self.on_its_way();
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = self.on_its_way();
            let is_full = now.0 > 0 && now == before && now.0 + now.1 < (MANY * LONG) as u64;
            is_full.then_some(())
        })
        .await;
    }

    /// Bytes that the API has said and the system keeps, and bytes that have arrived and were not read.
    fn on_its_way(&self) -> (u64, u64) {
        let ours = self.connection.local_addr().expect("an address");
        let connections = std::fs::read_to_string("/proc/net/tcp").expect("connections");
        let queues = |from: SocketAddr, to: SocketAddr| {
            let (from, to) = (format!(":{:04X}", from.port()), format!(":{:04X}", to.port()));
            let queues = connections.lines().find_map(|line| {
                let fields: Vec<_> = line.split_whitespace().collect();
                let is_it = fields.get(1)?.ends_with(&from) && fields.get(2)?.ends_with(&to);
                is_it.then(|| fields.get(4)?.split_once(':')).flatten()
            });
            let (sends, received) = queues.expect("the connection is there");
            let number = |text| u64::from_str_radix(text, 16).expect("a number");
            (number(sends), number(received))
        };
        (queues(self.api, ours).0, queues(ours, self.api).1)
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

    fn assert_small(&self, before: &Footprint) {
        assert!(self.memory < before.memory + MEMORY, "{self:?}, before {before:?}");
        assert!(self.threads < before.threads + DEAF as u64 / 2, "{self:?}, before {before:?}");
    }
}
