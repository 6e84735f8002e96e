//! Measures how much load a single client can put on a running API. The results are in
//! `docs/adr/0019-limits-per-client.md`.
//!
//! ```sh
//! cargo xtask up --release
//! cargo run -p diagflow-tests --example edge_limits -- 127.0.0.1:8080 $(pgrep --full 'diagflow serve') EMAIL PASSWORD
//! ```
//!
//! `EMAIL` and `PASSWORD` belong to an operator's account, which is used to measure sign-ins and the streams of one
//! account. If they are omitted, these measurements are skipped.

use diagflow_tests::{ApiClient, photos};
use futures::future::join_all;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

const GREEDY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 30);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const FORM: &str = "POST /api/user/submit HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n\
    Content-Length: 100000000\r\n\r\n";
const CHUNKED_FORM: &str = "POST /api/user/submit HTTP/1.1\r\nHost: x\r\n\
    Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n";
const SIGN_IN: &str = "/api/v1/auth/login";
/// How long uploads are held open after all their bytes have been sent.
const HOLD: Duration = Duration::from_secs(5);

/// Number of concurrent requests in the measurement of sign-ins.
const PASSWORD_REQUESTS: usize = 12;

struct Api {
    address: SocketAddr,
    process: u32,
}

struct Account {
    email: String,
    password: String,
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("the address of the API, such as 127.0.0.1:8080");
    let process = arguments.next().expect("the process id of the API");
    let api = Api {
        address: address.parse().expect("an address"),
        process: process.parse().expect("a process id"),
    };
    println!("idle: {}", api.latency("/version").await);
    api.held_uploads().await;
    api.dripped_forms().await;
    api.forms_in_one_byte_chunks().await;
    api.streams_of_one_client().await;
    if let (Some(email), Some(password)) = (arguments.next(), arguments.next()) {
        let account = Account { email, password };
        api.sign_ins_during_password_requests(&account).await;
        let token = api.sign_in(OTHER, &account).await;
        api.streams_of_one_account(&token).await;
    }
}

impl Api {
    async fn held_uploads(&self) {
        let (cpu, memory) = (self.cpu(), self.memory());
        let uploads = join_all((0..5).map(|_| async {
            let mut connection = self.connect(GREEDY).await;
            // The API closes the connection early if it refuses the form.
            let _ = send_preamble(&mut connection, 60_000_000).await;
            connection
        }))
        .await;
        sleep(HOLD).await;
        let held = self.memory().saturating_sub(memory) >> 20;
        println!("five held uploads of 60 MB: {held} MB, {:.1} s of CPU time", self.cpu() - cpu);
        drop(uploads);
    }

    /// Sends two forms byte by byte, each preceded by as many bytes as the API accepts before the first field.
    async fn dripped_forms(&self) {
        let cpu = self.cpu();
        let drip = || async {
            let mut connection = self.connect(GREEDY).await;
            send_preamble(&mut connection, 60_000).await?;
            for _ in 0..197 {
                connection.write_all(b"x").await?;
                sleep(Duration::from_millis(10)).await;
            }
            std::io::Result::Ok(())
        };
        let (_, latency) =
            tokio::join!(futures::future::join(drip(), drip()), self.latency("/version"));
        println!("two dripped forms: {latency}, {:.1} s of CPU time", self.cpu() - cpu);
    }

    /// Sends two forms in chunks of one byte. Each form has 100 fields, whose headers are almost as long as the API
    /// accepts.
    async fn forms_in_one_byte_chunks(&self) {
        let cpu = self.cpu();
        let filler = "x".repeat(60_000);
        let field = format!(
            "--x\r\nX-Filler: {filler}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n"
        );
        let chunks: String = field.chars().map(|byte| format!("1\r\n{byte}\r\n")).collect();
        let send = || async {
            let mut connection = self.connect(GREEDY).await;
            connection.write_all(CHUNKED_FORM.as_bytes()).await?;
            for _ in 0..100 {
                connection.write_all(chunks.as_bytes()).await?;
            }
            std::io::Result::Ok(())
        };
        let (_, latency) =
            tokio::join!(futures::future::join(send(), send()), self.latency("/version"));
        println!(
            "two forms in chunks of one byte: {latency}, {:.1} s of CPU time",
            self.cpu() - cpu
        );
    }

    async fn streams_of_one_client(&self) {
        let client = ApiClient::new(format!("http://{}", self.address));
        let submission = client.submit("ana@example.org", "", &[photos::cat()]).await;
        let path = format!("/api/user/events/{}", submission.submission_id);
        let streams = self.open_streams(200, &path, &submission.access_token).await;
        println!("200 streams of one client: {}, {}", open(&streams), self.latency("/ready").await);
    }

    async fn streams_of_one_account(&self, token: &str) {
        let streams = self.open_streams(1000, "/api/admin/events", token).await;
        println!(
            "1,000 streams of one account: {}, {}",
            open(&streams),
            self.latency("/ready").await
        );
    }

    /// Measures sign-ins while other clients send wrong passwords, and while another client keeps changing its password
    /// to a weak one, which takes long to check.
    async fn sign_ins_during_password_requests(&self, account: &Account) {
        println!("sign-ins: {}", self.sign_in_latency(account).await);
        let networks = AtomicU16::new(0);
        let wrong_passwords = join_all((0..PASSWORD_REQUESTS).map(|_| async {
            loop {
                // Failures are throttled per network and account.
                let [high, low] = networks.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                let email = format!("{high}-{low}@example.org");
                let body = json!({"email": email, "password": "wrong"});
                self.post([127, 100 + high, low, 1].into(), SIGN_IN, "", &body).await;
            }
        }));
        let latency = self.sign_in_latency(account);
        println!("sign-ins during wrong passwords: {}", during(wrong_passwords, latency).await);
        let token = self.sign_in(OTHER, account).await;
        let new_password = "Aa1!".repeat(32);
        let changes = join_all((0..PASSWORD_REQUESTS).map(|_| async {
            loop {
                let body =
                    json!({"current_password": account.password, "new_password": new_password});
                self.post(OTHER, "/api/v1/auth/password", &token, &body).await;
            }
        }));
        let latency = self.sign_in_latency(account);
        println!("sign-ins during password checks: {}", during(changes, latency).await);
    }

    /// Describes the median and maximum response times of sign-ins from other networks.
    async fn sign_in_latency(&self, account: &Account) -> String {
        let mut times = Vec::new();
        for network in 1..20 {
            let started = Instant::now();
            self.sign_in([127, 50, network, 1].into(), account).await;
            times.push(started.elapsed());
        }
        times.sort();
        format!("{:.0?}, at most {:.0?}", times[times.len() / 2], times[times.len() - 1])
    }

    /// Returns an access token.
    async fn sign_in(&self, from: Ipv4Addr, account: &Account) -> String {
        let body = json!({"email": account.email, "password": account.password});
        let response = self.post(from, SIGN_IN, "", &body).await;
        let (_, body) = response.split_once("\r\n\r\n").expect("a response");
        let body: Value = serde_json::from_str(body).expect("JSON");
        body["access_token"].as_str().unwrap_or_else(|| panic!("{response}")).to_owned()
    }

    async fn post(&self, from: Ipv4Addr, path: &str, token: &str, body: &Value) -> String {
        let body = body.to_string();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let mut connection = self.connect(from).await;
        connection.write_all(request.as_bytes()).await.expect("a sent request");
        let mut response = String::new();
        connection.read_to_string(&mut response).await.expect("a response");
        response
    }

    /// Opens streams and returns the connections of those that the API accepted.
    async fn open_streams(&self, count: u16, path: &str, token: &str) -> Vec<Option<TcpStream>> {
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
        let opened = (0..count).map(|_| async {
            let mut connection = self.connect(GREEDY).await;
            connection.write_all(head.as_bytes()).await.ok()?;
            let mut status = [0; 12];
            connection.read_exact(&mut status).await.ok()?;
            (&status == b"HTTP/1.1 200").then_some(connection)
        });
        join_all(opened).await
    }

    async fn connect(&self, from: Ipv4Addr) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("a loopback address");
        socket.connect(self.address).await.expect("a connection")
    }

    /// Describes the median and maximum response times for another client.
    async fn latency(&self, path: &str) -> String {
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut times = Vec::new();
        for _ in 0..50 {
            let started = Instant::now();
            let mut connection = self.connect(OTHER).await;
            connection.write_all(head.as_bytes()).await.expect("a sent request");
            let mut answer = Vec::new();
            let read = connection.read_to_end(&mut answer);
            timeout(Duration::from_secs(60), read).await.expect("in time").expect("a response");
            times.push(started.elapsed());
        }
        times.sort();
        format!("{path} of another client took {:.1?}, at most {:.1?}", times[25], times[49])
    }

    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process));
        let status = status.expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Returns the process's CPU time in seconds.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process));
        let stat = stat.expect("a running process");
        let (_, fields) = stat.rsplit_once(')').expect("a process name");
        // The fields `utime` and `stime`, in hundredths of a second (see `proc(5)`).
        let times = fields.split_whitespace().skip(11).take(2);
        times.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
    }
}

/// Sends the head of a form, followed by bytes that precede its first field.
async fn send_preamble(connection: &mut TcpStream, bytes: usize) -> std::io::Result<()> {
    connection.write_all(FORM.as_bytes()).await?;
    connection.write_all(&vec![b'x'; bytes]).await
}

/// Runs `measurement` during `load`, which never ends.
async fn during<T>(load: impl Future, measurement: impl Future<Output = T>) -> T {
    tokio::select! {
        _ = load => unreachable!("the load never ends"),
        result = measurement => result,
    }
}

fn open(streams: &[Option<TcpStream>]) -> String {
    format!("{} open", streams.iter().flatten().count())
}
