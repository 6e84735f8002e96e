//! Server-sent events as bytes. axum's `Sse` ends comments and `retry` with an empty line, too, but some clients
//! (`@microsoft/fetch-event-source`, `httpx-sse`) deliver an empty message for every empty line. Here only an event ends
//! with one, so each block between two empty lines has data.

use crate::auth::watch::AccessWatch;
use crate::telemetry::OpenStream;
use async_stream::stream;
use axum::body::{Body, Bytes};
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use serde::Serialize;
use std::convert::Infallible;
use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;

/// The first line of every stream: the time in milliseconds after which a browser reconnects. It is sent at once, and
/// the first event follows in the same block.
pub(super) const RETRY: Bytes = Bytes::from_static(b"retry: 2000\n");

/// A comment, which clients ignore.
const HEARTBEAT: Bytes = Bytes::from_static(b":\n");

/// `name` has no line break.
pub(super) fn event(name: impl Display, id: impl Display, data: &impl Serialize) -> Bytes {
    // Line breaks in JSON texts are escaped, so the data is one line.
    let data = serde_json::to_string(data).expect("the data is valid JSON");
    format!("event: {name}\nid: {id}\ndata: {data}\n\n").into()
}

/// A response with these events until the reader loses access, and with heartbeats in between.
pub(crate) fn response(
    events: impl Stream<Item = Bytes> + Send + 'static,
    heartbeat: Duration,
    watch: AccessWatch,
) -> Response {
    // Proxies must not change or buffer the stream.
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let ended = async move { watch.ended().await };
    let stream = with_heartbeats(events, heartbeat, ended).map(Ok::<_, Infallible>);
    (headers, Body::from_stream(stream)).into_response()
}

/// Heartbeats are sent even while the events wait for a query of the database.
fn with_heartbeats(
    events: impl Stream<Item = Bytes> + Send,
    heartbeat: Duration,
    ended: impl Future<Output = ()> + Send,
) -> impl Stream<Item = Bytes> + Send {
    stream! {
        let _open = OpenStream::new();
        let mut events = pin!(events);
        let mut ended = pin!(ended);
        loop {
            let next = tokio::select! {
                biased;
                () = &mut ended => None,
                next = events.next() => next,
                () = tokio::time::sleep(heartbeat) => Some(HEARTBEAT),
            };
            match next {
                Some(bytes) => yield bytes,
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, stream};
    use serde_json::json;

    #[test]
    fn every_block_between_empty_lines_has_data() {
        let data = json!({"message": "two\nlines\r\n\r\nand \u{2028}"});
        let parts = [RETRY, HEARTBEAT, event("a", 1, &data), HEARTBEAT, event("b", 2, &data)];
        let text = String::from_utf8(parts.concat()).expect("text");
        let blocks: Vec<_> = text.strip_suffix("\n\n").expect("an end").split("\n\n").collect();
        assert_eq!(blocks.len(), 2, "{text}");
        for (block, start) in
            blocks.iter().zip(["retry: 2000\n:\nevent: a\nid: 1\n", ":\nevent: b\n"])
        {
            assert!(block.starts_with(start), "{block}");
            let lines = block.lines().filter_map(|line| line.strip_prefix("data: "));
            let received: Vec<serde_json::Value> =
                lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
            assert!(received.iter().eq([&data]), "{block}");
        }
    }

    #[tokio::test]
    async fn a_stream_without_events_has_heartbeats() {
        let events = stream::iter([RETRY]).chain(stream::pending());
        let parts = with_heartbeats(events, Duration::from_millis(10), std::future::pending());
        let parts: Vec<_> = parts.take(3).collect().await;
        assert_eq!(parts, [RETRY, HEARTBEAT, HEARTBEAT]);
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn no_event_is_sent_after_the_access_has_ended() {
        let parts = with_heartbeats(stream::repeat(RETRY), LONG, std::future::ready(()));
        assert_eq!(parts.count().now_or_never(), Some(0));
        let parts = with_heartbeats(stream::empty(), LONG, std::future::pending());
        assert_eq!(parts.count().now_or_never(), Some(0), "the events have ended");
    }
}
