//! Test helpers: an HTTP client, images, submissions, and a raw SMTP client.

use std::{io::Cursor, net::SocketAddr, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use diagflow_simulators::{
    loopai::{LoopAiSim, Settings},
    mail::{self, MailCatcher},
};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, RgbImage};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// Time limit for waits. It can be generous because only failing tests wait this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn client() -> reqwest::Client {
    // Another test in this process may already have installed the crypto provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

/// A simulator whose executions end immediately.
pub(crate) async fn instant_sim() -> LoopAiSim {
    sim(Settings { delay_ms: 0, ..Settings::default() }).await
}

pub(crate) async fn sim(settings: Settings) -> LoopAiSim {
    LoopAiSim::start(any_port(), settings).await.expect("a simulator")
}

pub(crate) async fn diagnose(sim: &LoopAiSim, body: &Value) -> reqwest::Result<reqwest::Response> {
    let url = format!("{}/api/public/agent/1/action/diagnose/", sim.url());
    client().post(url).json(body).send().await
}

pub(crate) async fn status(sim: &LoopAiSim, id: &str) -> reqwest::Result<reqwest::Response> {
    let url = format!("{}/api/execution/{id}/status/", sim.url());
    client().get(url).send().await
}

pub(crate) async fn submit(sim: &LoopAiSim, body: &Value) -> String {
    let response = diagnose(sim, body).await.expect("a response");
    assert_eq!(response.status(), 200);
    let response: Value = response.json().await.expect("JSON");
    response["execution_id"].as_str().expect("an id").to_owned()
}

pub(crate) async fn poll(sim: &LoopAiSim, id: &str) -> Value {
    let response = status(sim, id).await.expect("a response");
    response.json().await.expect("JSON")
}

pub(crate) async fn wait_for_end(sim: &LoopAiSim, id: &str) -> Value {
    sim.wait_for(
        |all| {
            let ours = all.iter().find(|it| it.execution_id == id)?;
            ours.finished_at
        },
        LIMIT,
    )
    .await
    .expect("an end");
    poll(sim, id).await
}

pub(crate) fn submission(comments: &str) -> Value {
    json!({"submission_id": "s-1", "comments": comments, "images": []})
}

pub(crate) fn png(image: &DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).expect("encoded");
    bytes.into_inner()
}

pub(crate) fn checkerboard() -> DynamicImage {
    GrayImage::from_fn(128, 128, |x, y| {
        Luma([if (x / 16 + y / 16).is_multiple_of(2) { 40 } else { 215 }])
    })
    .into()
}

pub(crate) fn plain(red: u8, green: u8, blue: u8) -> DynamicImage {
    RgbImage::from_pixel(64, 48, image::Rgb([red, green, blue])).into()
}

/// An `images` entry in the form that Diagflow sends.
pub(crate) fn image_entry(name: &str, bytes: &[u8]) -> Value {
    json!({
        "name": name,
        "type": "image/png",
        "size": bytes.len(),
        "sha256": sha256(bytes),
        "data": format!("data:image/png;base64,{}", BASE64_STANDARD.encode(bytes)),
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub(crate) async fn catcher(settings: mail::Settings) -> MailCatcher {
    MailCatcher::start(any_port(), any_port(), settings).await.expect("a catcher")
}

/// An SMTP client that sends exactly the given lines.
pub(crate) struct SmtpClient(BufReader<TcpStream>);

impl SmtpClient {
    /// Connects without reading the greeting.
    pub(crate) async fn connect(catcher: &MailCatcher) -> Self {
        let tcp = TcpStream::connect(catcher.smtp_address()).await;
        Self(BufReader::new(tcp.expect("a connection")))
    }

    /// Connects and sends EHLO.
    pub(crate) async fn greeted(catcher: &MailCatcher) -> Self {
        let mut smtp = Self::connect(catcher).await;
        assert!(smtp.read_reply().await.starts_with("220 "));
        smtp.command("EHLO test.example", "250-").await;
        smtp
    }

    /// Reads all lines of a reply. Returns an empty string if the connection has ended.
    pub(crate) async fn read_reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let start = reply.len();
            let read = tokio::time::timeout(LIMIT, self.0.read_line(&mut reply)).await;
            let read = read.expect("a reply in time");
            let last = reply.as_bytes().get(start + 3) == Some(&b' ');
            if last || read.map_or(true, |bytes| bytes == 0) {
                return reply;
            }
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("written");
    }

    /// Sends a line and checks that the reply starts with `expected`.
    pub(crate) async fn command(&mut self, line: &str, expected: &str) -> String {
        self.write(format!("{line}\r\n").as_bytes()).await;
        let reply = self.read_reply().await;
        assert!(reply.starts_with(expected), "{line}: {reply:?}");
        reply
    }

    /// Sends a message without reading the final 250 reply.
    pub(crate) async fn send(&mut self, to: &[&str], message: &str) {
        self.command("MAIL FROM:<clinic@x.example>", "250").await;
        for recipient in to {
            self.command(&format!("RCPT TO:<{recipient}>"), "250").await;
        }
        self.command("DATA", "354").await;
        self.write(message.replace('\n', "\r\n").as_bytes()).await;
        self.write(b"\r\n.\r\n").await;
    }

    /// Reads the remaining text until the server closes the connection.
    pub(crate) async fn read_to_end(&mut self) -> String {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(LIMIT, self.0.read_to_end(&mut rest)).await;
        read.expect("an end in time").expect("a cleanly closed connection");
        String::from_utf8(rest).expect("UTF-8")
    }
}
