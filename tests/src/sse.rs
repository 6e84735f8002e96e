//! Reads server-sent events the way a client does.

use crate::eventually::LIMIT;
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    pub id: i64,
    pub name: String,
    pub data: Value,
}

/// An open stream and the text it has delivered so far.
#[derive(Debug)]
pub struct SseStream {
    response: Response,
    text: String,
}

impl SseStream {
    pub fn new(response: Response) -> SseStream {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        SseStream { response, text: String::new() }
    }

    /// Returns the response, without the part of its body that has already been read.
    pub fn response(&self) -> &Response {
        &self.response
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn blocks(&self) -> Vec<&str> {
        let complete = self.text.rsplit_once("\n\n").map_or("", |(complete, _)| complete);
        complete.split("\n\n").collect()
    }

    pub fn events(&self) -> Vec<SseEvent> {
        self.blocks().into_iter().filter_map(parse_event).collect()
    }

    /// Reads until `enough` returns true for the text received so far. Heartbeats do not extend the time limit.
    pub async fn read_until(&mut self, enough: impl Fn(&str) -> bool) {
        let reading = async {
            while !enough(&self.text) {
                assert!(self.read().await.expect("a stream without errors"), "the stream ended");
            }
        };
        let result = timeout(LIMIT, reading).await;
        assert!(result.is_ok(), "the expected text did not arrive within {LIMIT:?}: {}", self.text);
    }

    /// Reads until the server ends the stream.
    pub async fn read_to_end(&mut self) {
        let reading = async { while self.read().await.expect("a stream without errors") {} };
        timeout(LIMIT, reading).await.expect("the end of the stream");
    }

    /// Reads one chunk. Returns false at the end of the stream.
    async fn read(&mut self) -> reqwest::Result<bool> {
        let Some(chunk) = self.response.chunk().await? else { return Ok(false) };
        self.text.push_str(&String::from_utf8_lossy(&chunk));
        Ok(true)
    }

    fn take_block(&mut self) -> Option<String> {
        let end = self.text.find("\n\n")? + 2;
        Some(self.text.drain(..end).collect())
    }

    /// Returns events as they arrive until the stream ends or the connection is lost. An incomplete final event is
    /// dropped.
    pub fn into_events(self) -> BoxStream<'static, SseEvent> {
        let blocks = futures::stream::unfold(self, async |mut stream| {
            loop {
                if let Some(block) = stream.take_block() {
                    return Some((block, stream));
                }
                if !stream.read().await.unwrap_or(false) {
                    return None;
                }
            }
        });
        blocks.filter_map(async |block| parse_event(&block)).boxed()
    }
}

/// Parses an event. Returns `None` if the block is not a complete event, for example because the connection was lost.
fn parse_event(block: &str) -> Option<SseEvent> {
    let field = |name: &str| {
        block.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    };
    Some(SseEvent {
        id: field("id")?.parse().expect("a number"),
        name: field("event")?.to_owned(),
        data: serde_json::from_str(field("data")?).expect("JSON"),
    })
}
