//! LoopAI's call-backs, signed as `docs/loopai.md` tells.

use crate::client::ApiClient;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Response;
use sha2::Sha256;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The secret that tests share with the API.
pub const SECRET: &str = "a secret of the tests";

/// Calls back with a body that was signed `age` ago.
pub async fn send(client: &ApiClient, body: &str, secret: &str, age: Duration) -> Response {
    let sent = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock") - age;
    let timestamp = sent.as_secs().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(format!("{timestamp}.{body}").as_bytes());
    reqwest::Client::new()
        .post(client.url("/api/hooks/loopai"))
        .header("X-LoopAI-Timestamp", timestamp)
        .header("X-LoopAI-Signature", hex::encode(mac.finalize().into_bytes()))
        .body(body.to_owned())
        .send()
        .await
        .expect("an answer")
}
