//! Passes a form's body to its parser. The parser reads everything that is available, buffers it until the next
//! boundary or the end of a field's headers, and searches the whole buffer again whenever more bytes arrive. It is
//! therefore given one chunk of [`MAX_CHUNK`] bytes at a time, and only the last chunk of a body is smaller. The parser
//! gets another chunk only if it cannot return a result without it, and at most [`MAX_UNPARSED`] bytes between two
//! results.

use crate::layers::head_limit::MAX_READ_BYTES;
use axum::Error;
use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// A field's headers are rarely longer than a kilobyte, and clients send nothing before the first boundary.
const MAX_UNPARSED: usize = 64 * 1024;
const MAX_CHUNK: usize = 16 * 1024;
/// Maximum size of the parser's buffer, which doubles when it is full.
const PARSER_BUFFER: usize = 2 * MAX_UNPARSED;
/// Maximum size of what the feed holds: the chunk that the parser is copying, the incomplete next chunk, and the received
/// bytes after it.
const FEED_BUFFERS: usize = 2 * MAX_CHUNK + MAX_READ_BYTES;
pub(super) const PARSER_MEMORY: usize = PARSER_BUFFER + FEED_BUFFERS;

/// The error for a form whose next field does not begin within [`MAX_UNPARSED`] bytes.
#[derive(Debug, thiserror::Error)]
#[error("the next field does not begin within {MAX_UNPARSED} bytes")]
pub(super) struct FieldTooFar;

/// A form's body, which is shared by the parser and its caller.
#[derive(Clone)]
pub(super) struct FormFeed(Arc<Mutex<Feed>>);

impl FormFeed {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Feed {
            body: body.into_data_stream(),
            received: Bytes::new(),
            chunk: BytesMut::new(),
            is_complete: false,
            failure: None,
            unparsed: 0,
            pauses: false,
            is_starved: false,
        })))
    }

    /// Returns the body for the parser.
    pub(super) fn body(&self) -> Body {
        let feed = self.clone();
        Body::from_stream(stream::poll_fn(move |context| feed.lock().poll_chunk(context)))
    }

    /// Runs the parser until its next result, which is a field or a part of its content. The parser is not polled while
    /// it waits for a chunk that is not yet complete, because it would search its whole buffer again.
    pub(super) async fn parse<T>(&self, parser: impl Future<Output = T>) -> T {
        let mut parser = pin!(parser);
        let result = poll_fn(|context| {
            let fed = self.lock().poll_starved(context);
            ready!(fed);
            parser.as_mut().poll(context)
        });
        let result = result.await;
        self.lock().record_result();
        result
    }

    fn lock(&self) -> MutexGuard<'_, Feed> {
        // A panic ends the request, so nobody uses the feed afterwards.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Feed {
    body: BodyDataStream,
    /// Received bytes that are not yet in a chunk.
    received: Bytes,
    /// The next chunk, which is not yet complete.
    chunk: BytesMut,
    /// Whether the whole body has been received.
    is_complete: bool,
    /// The error that the parser gets instead of the next chunk.
    failure: Option<Error>,
    /// Number of bytes that the parser has read since its last result.
    unparsed: usize,
    /// Whether the next poll returns no chunk, because the parser must first process the bytes that it already has.
    pauses: bool,
    /// Whether the parser waits for the next chunk and cannot return a result without it.
    is_starved: bool,
}

impl Feed {
    /// Records that the parser has returned a result. Its buffer may contain further results.
    fn record_result(&mut self) {
        self.unparsed = 0;
        self.pauses = true;
        self.is_starved = false;
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if mem::take(&mut self.pauses) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.poll_fill(context).is_pending() {
            self.is_starved = true;
            return Poll::Pending;
        }
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.chunk.is_empty() {
            return Poll::Ready(None);
        }
        let chunk = mem::take(&mut self.chunk).freeze();
        self.unparsed += chunk.len();
        if self.unparsed > MAX_UNPARSED {
            return Poll::Ready(Some(Err(Error::new(FieldTooFar))));
        }
        self.pauses = true;
        Poll::Ready(Some(Ok(chunk)))
    }

    /// Waits until the parser does not wait for a chunk, or the chunk is complete.
    fn poll_starved(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_starved {
            ready!(self.poll_fill(context));
            self.is_starved = false;
        }
        Poll::Ready(())
    }

    /// Waits until the chunk is complete, or the body has ended.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.failure.is_none() && !self.fill_chunk() && !self.is_complete {
            match ready!(self.body.poll_next_unpin(context)) {
                Some(Ok(bytes)) => self.received = bytes,
                Some(Err(error)) => self.failure = Some(error),
                None => self.is_complete = true,
            }
        }
        Poll::Ready(())
    }

    /// Moves received bytes to the chunk, and returns whether it is complete.
    fn fill_chunk(&mut self) -> bool {
        // The exact size, because a buffer that grows could become larger.
        self.chunk.reserve(MAX_CHUNK - self.chunk.len());
        let room = MAX_CHUNK - self.chunk.len();
        let bytes = self.received.split_to(self.received.len().min(room));
        self.chunk.extend_from_slice(&bytes);
        self.chunk.len() == MAX_CHUNK
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::{FromRequest, Multipart};
    use axum::http::Request;
    use axum::http::header::CONTENT_TYPE;
    use futures::FutureExt;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn the_parser_gets_one_small_chunk_at_a_time() {
        let feed = FormFeed::new(Body::from(vec![b'x'; 3 * MAX_CHUNK]));
        let mut chunks = feed.body().into_data_stream();
        for _ in 0..3 {
            let chunk = chunks.next().now_or_never().flatten().expect("a chunk").expect("bytes");
            assert_eq!(chunk.len(), MAX_CHUNK);
            assert!(
                chunks.next().now_or_never().is_none(),
                "the parser must first process the previous chunk"
            );
        }
        assert!(chunks.next().await.is_none());
    }

    #[tokio::test]
    async fn the_parser_gets_a_limited_number_of_bytes_between_two_results() {
        let read = async |resets: bool| {
            let feed = FormFeed::new(Body::from(vec![b'x'; 2 * MAX_UNPARSED]));
            let mut chunks = feed.body().into_data_stream();
            let mut length = 0;
            while let Some(Ok(chunk)) = chunks.next().await {
                length += chunk.len();
                if resets {
                    feed.lock().record_result();
                }
            }
            length
        };
        assert_eq!(read(false).await, MAX_UNPARSED);
        assert_eq!(read(true).await, 2 * MAX_UNPARSED);
    }

    /// Returns the chunks of a body that arrives byte by byte.
    async fn fed_byte_by_byte(length: usize) -> Vec<usize> {
        let bytes = stream::iter(vec![Bytes::from_static(b"x"); length]).map(Ok::<_, Error>);
        let mut chunks = FormFeed::new(Body::from_stream(bytes)).body().into_data_stream();
        let mut lengths = Vec::new();
        while let Some(chunk) = chunks.next().await {
            lengths.push(chunk.expect("bytes").len());
        }
        lengths
    }

    #[tokio::test]
    async fn the_parser_is_rarely_fed_if_a_body_arrives_byte_by_byte() {
        assert_eq!(fed_byte_by_byte(0).await, [0; 0]);
        assert_eq!(fed_byte_by_byte(1).await, [1]);
        assert_eq!(fed_byte_by_byte(MAX_UNPARSED).await, [MAX_CHUNK; 4]);
        assert_eq!(fed_byte_by_byte(MAX_CHUNK + 1).await, [MAX_CHUNK, 1]);
    }

    #[tokio::test]
    async fn the_feed_holds_no_more_bytes_than_were_reserved() {
        let lengths = [1, MAX_READ_BYTES, MAX_CHUNK - 1, MAX_READ_BYTES, 1];
        let received = lengths.map(|length| Ok::<_, Error>(Bytes::from(vec![b'x'; length])));
        let feed = FormFeed::new(Body::from_stream(stream::iter(received)));
        let mut chunks = feed.body().into_data_stream();
        let (mut total, mut max_held) = (0, 0);
        while let Some(chunk) = feed.parse(chunks.next()).await {
            let chunk = chunk.expect("bytes");
            let feed = feed.lock();
            total += chunk.len();
            max_held = max_held.max(chunk.len() + feed.chunk.capacity() + feed.received.len());
        }
        assert_eq!(total, lengths.iter().sum::<usize>());
        assert!((MAX_READ_BYTES..=FEED_BUFFERS).contains(&max_held), "{max_held}");
    }

    #[tokio::test]
    async fn the_parser_is_polled_only_for_complete_chunks() {
        let bytes = stream::iter(vec![Bytes::from_static(b"x"); MAX_CHUNK]).then(async |byte| {
            tokio::task::yield_now().await;
            Ok::<_, Error>(byte)
        });
        let feed = FormFeed::new(Body::from_stream(bytes));
        let mut chunks = feed.body().into_data_stream();
        let mut polls = 0;
        let parser = poll_fn(|context| {
            polls += 1;
            chunks.poll_next_unpin(context)
        });
        let chunk = feed.parse(parser).await.expect("a chunk").expect("bytes");
        assert_eq!((chunk.len(), polls), (MAX_CHUNK, 2));
    }

    #[tokio::test]
    async fn an_interrupted_body_ends_with_the_error() {
        let parts = [Ok(Bytes::from_static(b"x")), Err(Error::new(FieldTooFar))];
        let body = Body::from_stream(stream::iter(parts));
        let mut chunks = FormFeed::new(body).body().into_data_stream();
        assert!(chunks.next().await.expect("an error").is_err());
    }

    #[tokio::test]
    async fn the_parser_gets_no_more_bytes_while_it_can_return_results() {
        const FIELDS: usize = 500;
        let field = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
        let mut form = field.repeat(FIELDS).into_bytes();
        let limit = form.len() + MAX_UNPARSED;
        form.resize(100 * limit, b'x');
        let read = Arc::new(AtomicUsize::new(0));
        let counted = read.clone();
        let chunks: Vec<_> = form.chunks(MAX_CHUNK).map(Bytes::copy_from_slice).collect();
        let chunks = stream::iter(chunks).inspect(move |chunk| {
            counted.fetch_add(chunk.len(), Ordering::Relaxed);
        });
        let feed = FormFeed::new(Body::from_stream(chunks.map(Ok::<_, Error>)));
        let request = Request::post("/").header(CONTENT_TYPE, "multipart/form-data; boundary=x");
        let request = request.body(feed.body()).expect("a request");
        let mut fields = Multipart::from_request(request, &()).await.expect("a form");
        for number in 1..=FIELDS {
            let field = feed.parse(fields.next_field()).await;
            let mut field = field.expect("a form").expect("a field");
            // The last field has no end.
            let mut has_content = number < FIELDS;
            while has_content {
                has_content = feed.parse(field.chunk()).await.expect("a form").is_some();
            }
        }
        let read = read.load(Ordering::Relaxed);
        assert!(read <= limit, "{read} bytes for {FIELDS} fields");
    }
}
