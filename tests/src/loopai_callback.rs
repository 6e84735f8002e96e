//! Sends LoopAI callbacks signed as described in `docs/loopai.md`.

use crate::client::ApiClient;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Response;
use sha2::Sha256;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const SECRET: &str = "a secret for tests";

/// Sends a callback whose signature is `age` old.
pub async fn send(client: &ApiClient, body: &str, secret: &str, age: Duration) -> Response {
    let sent = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970") - age;
    let timestamp = sent.as_secs().to_string();
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC accepts any key length");
    mac.update(format!("{timestamp}.{body}").as_bytes());
    reqwest::Client::new()
        .post(client.url("/api/hooks/loopai"))
        .header("X-LoopAI-Timestamp", timestamp)
        .header("X-LoopAI-Signature", hex::encode(mac.finalize().into_bytes()))
        .body(body.to_owned())
        .send()
        .await
        .expect("a response")
}
