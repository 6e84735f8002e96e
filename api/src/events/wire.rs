//! Encodes server-sent events. axum's `Sse` also ends comments and `retry` with an empty line, but some clients
//! (`@microsoft/fetch-event-source`, `httpx-sse`) deliver an empty message for every empty line. Here, only events end
//! with an empty line, so every block between two empty lines has data.

use crate::app::AppState;
use crate::auth::stream_access::StreamAccess;
use crate::error::{ApiError, STREAM_RETRY_SECONDS};
use crate::events::stream_permits::StreamPermit;
use crate::extract::stream_client::StreamClient;
use crate::telemetry::{self, OpenStream};
use async_stream::stream;
use axum::body::{Body, Bytes};
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use serde::Serialize;
use std::convert::Infallible;
use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;

/// The line that precedes all events: the time in milliseconds after which a browser reconnects. It is sent without
/// waiting for an event, and the first event follows in the same block.
pub(super) const RETRY: Bytes = Bytes::from_static(b"retry: 2000\n");

/// Clients behind the same address reconnect one after another, so a shorter time would mostly cause more rejections.
const MIN_RETRY_SECONDS: u64 = 5;

/// A comment, which clients ignore.
const HEARTBEAT: Bytes = Bytes::from_static(b":\n");

/// `name` must not contain a line break.
pub(super) fn event(name: impl Display, id: impl Display, data: &impl Serialize) -> Bytes {
    // JSON escapes line breaks, so the data is a single line.
    let data = serde_json::to_string(data).expect("the data is valid JSON");
    format!("event: {name}\nid: {id}\ndata: {data}\n\n").into()
}

/// Returns a response that streams the events, interleaved with heartbeats, for as long as the reader has access.
/// Refuses the stream if the reader's client or account already has too many.
pub(crate) fn response(
    state: &AppState,
    client: &StreamClient,
    events: impl Stream<Item = Bytes> + Send + 'static,
    access: StreamAccess,
) -> Response {
    let account = access.account();
    let permit = state.streams.open(client.key).and_then(|permit| permit.for_account(account));
    let Some(permit) = permit else {
        telemetry::stream_refused();
        return ApiError::TooManyStreams.into_response();
    };
    let closing = state.closing.clone();
    let events = with_access(events, access, permit);
    let heartbeat = state.app.settings.events_heartbeat;
    let stream = with_heartbeats(events, heartbeat, async move { closing.cancelled().await });
    body(stream.map(Ok::<_, Infallible>))
}

/// Returns an empty response that makes an `EventSource` reconnect after this many seconds. After an error response, it
/// would never reconnect.
pub(crate) fn reconnect_after(seconds: u64) -> Response {
    let seconds = seconds.max(MIN_RETRY_SECONDS);
    let text = reconnect_text(seconds);
    let mut response = body(futures::stream::iter([Ok::<_, Infallible>(text)]));
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

fn reconnect_text(seconds: u64) -> Bytes {
    format!("retry: {}\n: too many requests\n", seconds.saturating_mul(1000)).into()
}

fn body(stream: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    // Proxies must not change or buffer the stream.
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(stream)).into_response()
}

/// Returns the events until the reader loses access. No event is read before access has been granted. `permit` is held
/// until the stream ends.
fn with_access(
    events: impl Stream<Item = Bytes> + Send + 'static,
    access: StreamAccess,
    permit: StreamPermit,
) -> impl Stream<Item = Bytes> + Send {
    stream! {
        let (watch, _permit) = match access {
            StreamAccess::Granted(watch) => (watch, permit),
            StreamAccess::Pending(granted) => {
                // Some proxies hold back the headers until the first bytes of the body arrive.
                yield HEARTBEAT;
                let Some(watch) = granted.await else { return };
                // The account was unknown until access was granted.
                match permit.for_account(watch.account()) {
                    Some(permit) => (watch, permit),
                    None => {
                        telemetry::stream_refused();
                        yield reconnect_text(STREAM_RETRY_SECONDS);
                        return;
                    }
                }
            }
        };
        let mut events = pin!(events.take_until(async move { watch.ended().await }));
        while let Some(bytes) = events.next().await {
            yield bytes;
        }
    }
}

/// Adds heartbeats, which are sent even while `events` is waiting for a database query.
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
    use crate::auth::watch::AccessWatch;
    use crate::events::stream_permits::StreamPermits;
    use crate::settings::OpenLimits;
    use futures::{FutureExt, stream};
    use serde_json::json;
    use std::net::Ipv4Addr;
    use tokio_util::sync::CancellationToken;

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
    async fn a_stream_without_events_sends_heartbeats() {
        let events = stream::iter([RETRY]).chain(stream::pending());
        let parts = with_heartbeats(events, Duration::from_millis(10), std::future::pending());
        let parts: Vec<_> = parts.take(3).collect().await;
        assert_eq!(parts, [RETRY, HEARTBEAT, HEARTBEAT]);
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn no_event_is_sent_after_the_reader_loses_access() {
        let parts = with_heartbeats(stream::repeat(RETRY), LONG, std::future::ready(()));
        assert_eq!(parts.count().now_or_never(), Some(0));
        let parts = with_heartbeats(stream::empty(), LONG, std::future::pending());
        assert_eq!(parts.count().now_or_never(), Some(0), "the stream ends after the last event");
    }

    fn permit() -> StreamPermit {
        let limits =
            OpenLimits { connections_per_client: 1, streams_per_client: 1, streams_per_account: 1 };
        StreamPermits::new(&limits).open(Ipv4Addr::LOCALHOST.into()).expect("the first stream")
    }

    #[tokio::test]
    async fn a_pending_stream_sends_events_only_after_access_is_granted() {
        let token = CancellationToken::new();
        let watch = AccessWatch::until(token.clone());
        let (grant, granted) = tokio::sync::oneshot::channel();
        let granted = granted.map(|watch| watch.ok().flatten()).boxed();
        let events = stream::iter([RETRY]).chain(stream::pending());
        let mut parts = with_access(events, StreamAccess::Pending(granted), permit()).boxed();
        assert_eq!(parts.next().await, Some(HEARTBEAT));
        assert_eq!(parts.next().now_or_never(), None, "no event is sent before access is granted");
        assert!(grant.send(Some(watch)).is_ok());
        assert_eq!(parts.next().await, Some(RETRY));
        token.cancel();
        assert_eq!(parts.next().await, None, "the stream ends when access is lost");

        let denied = std::future::ready(None).boxed();
        let parts = with_access(stream::repeat(RETRY), StreamAccess::Pending(denied), permit());
        assert_eq!(parts.collect::<Vec<_>>().await, [HEARTBEAT]);
    }

    #[tokio::test]
    async fn a_stream_over_the_limit_contains_only_the_reconnection_time() {
        for (seconds, expected) in [(1, 5), (30, 30)] {
            let response = reconnect_after(seconds);
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["retry-after"], expected.to_string());
            let text = axum::body::to_bytes(response.into_body(), 1000).await.expect("a body");
            assert_eq!(text, format!("retry: {expected}000\n: too many requests\n"));
        }
    }
}
