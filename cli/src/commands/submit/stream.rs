//! Parses server-sent events (WHATWG HTML, 9.2.6). Supports only the fields that `diagflow submit` needs.

use async_stream::try_stream;
use futures::{Stream, StreamExt};
use std::pin::pin;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct SseEvent {
    pub(super) id: String,
    pub(super) data: String,
}

/// Drops an incomplete event at the end of the stream.
pub(super) fn parse_events<B: AsRef<[u8]>, E>(
    chunks: impl Stream<Item = Result<B, E>>,
) -> impl Stream<Item = Result<SseEvent, E>> {
    try_stream! {
        let mut chunks = pin!(chunks);
        let mut buffer = Vec::new();
        let mut event = SseEvent::default();
        while let Some(chunk) = chunks.next().await {
            buffer.extend_from_slice(chunk?.as_ref());
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_end_matches(['\n', '\r']);
                if !line.is_empty() {
                    event.read_line(line);
                } else if !event.data.is_empty() {
                    yield std::mem::take(&mut event);
                }
            }
        }
    }
}

impl SseEvent {
    fn read_line(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = value.to_owned(),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    async fn read(chunks: &[&str]) -> Vec<SseEvent> {
        let chunks: Vec<Result<Vec<u8>, Infallible>> =
            chunks.iter().map(|chunk| Ok(chunk.as_bytes().to_vec())).collect();
        let stream = parse_events(futures::stream::iter(chunks));
        stream.map(|event| event.unwrap_or_else(|never| match never {})).collect().await
    }

    #[tokio::test]
    async fn events_are_parsed_from_chunks_of_any_size() {
        let text = "retry: 5\n\n: beat\n\nid: 1\nevent: status_update\ndata: a\ndata: é\n\nid:2\ndata:b\r\n\r\n";
        let whole = read(&[text]).await;
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0].data, "a\né");
        assert_eq!((whole[1].id.as_str(), whole[1].data.as_str()), ("2", "b"));
        let split = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]);
        assert_eq!(read(&split.collect::<Vec<_>>()).await, whole);
    }

    #[tokio::test]
    async fn an_incomplete_event_is_dropped() {
        assert!(read(&["id: 1\ndata: a\n"]).await.is_empty());
    }
}
