//! Passes a form's body to its parser. The parser reads everything that is available, buffers it until the next
//! boundary or the end of a field's headers, and searches the whole buffer again whenever more bytes arrive. It is
//! therefore given one chunk of [`MAX_CHUNK`] bytes at a time, and only the last chunk of a body is smaller. The parser
//! gets another chunk only if it cannot return a result without it, and at most [`MAX_UNPARSED`] bytes between two
//! results.

use axum::Error;
use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

/// A field's headers are rarely longer than a kilobyte, and clients send nothing before the first boundary.
const MAX_UNPARSED: usize = 64 * 1024;
const MAX_CHUNK: usize = 16 * 1024;
/// Maximum size of the parser's buffer, which doubles when it is full, and of an incomplete chunk.
pub(super) const PARSER_MEMORY: usize = 2 * MAX_UNPARSED + MAX_CHUNK;

/// The error for a form whose next field does not begin within [`MAX_UNPARSED`] bytes.
#[derive(Debug, thiserror::Error)]
#[error("the next field does not begin within {MAX_UNPARSED} bytes")]
pub(super) struct FieldTooFar;

/// The progress of the parser, which is shared with its feed.
#[derive(Clone, Default)]
pub(super) struct ParserProgress(Arc<Progress>);

#[derive(Default)]
struct Progress {
    /// Number of bytes that the parser has read since its last result.
    unparsed: AtomicUsize,
    /// Whether the next poll returns no chunk, because the parser must first process the bytes that it already has.
    pauses: AtomicBool,
}

impl ParserProgress {
    /// Records that the parser has found a field or a part of its content. Its buffer may contain further results.
    pub(super) fn record_result(&self) {
        self.0.unparsed.store(0, Ordering::Relaxed);
        self.pause();
    }

    fn pause(&self) {
        self.0.pauses.store(true, Ordering::Relaxed);
    }

    fn end_pause(&self) -> bool {
        self.0.pauses.swap(false, Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) -> Result<(), FieldTooFar> {
        let unparsed = self.0.unparsed.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if unparsed > MAX_UNPARSED { Err(FieldTooFar) } else { Ok(()) }
    }
}

/// Returns the body for the parser. The caller must call [`ParserProgress::record_result`] after each result of the
/// parser.
pub(super) fn feed(body: Body, progress: &ParserProgress) -> Body {
    let mut feed = FormFeed {
        body: body.into_data_stream(),
        received: BytesMut::new(),
        is_complete: false,
        progress: progress.clone(),
    };
    Body::from_stream(stream::poll_fn(move |context| feed.poll_chunk(context)))
}

struct FormFeed {
    body: BodyDataStream,
    /// Bytes that the parser has not yet got.
    received: BytesMut,
    /// Whether the whole body has been received.
    is_complete: bool,
    progress: ParserProgress,
}

impl FormFeed {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if self.progress.end_pause() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.received.len() < MAX_CHUNK && !self.is_complete {
            match ready!(self.body.poll_next_unpin(context)) {
                Some(Ok(bytes)) => self.received.extend_from_slice(&bytes),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.is_complete = true,
            }
        }
        if self.received.is_empty() {
            return Poll::Ready(None);
        }
        let chunk = self.received.split_to(self.received.len().min(MAX_CHUNK)).freeze();
        self.progress.add(chunk.len()).map_err(Error::new)?;
        self.progress.pause();
        Poll::Ready(Some(Ok(chunk)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::{FromRequest, Multipart};
    use axum::http::Request;
    use axum::http::header::CONTENT_TYPE;
    use futures::FutureExt;

    #[tokio::test]
    async fn the_parser_gets_one_small_chunk_at_a_time() {
        let progress = ParserProgress::default();
        let mut chunks = feed(Body::from(vec![b'x'; 3 * MAX_CHUNK]), &progress).into_data_stream();
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
            let progress = ParserProgress::default();
            let body = feed(Body::from(vec![b'x'; 2 * MAX_UNPARSED]), &progress);
            let mut chunks = body.into_data_stream();
            let mut length = 0;
            while let Some(Ok(chunk)) = chunks.next().await {
                length += chunk.len();
                if resets {
                    progress.record_result();
                }
            }
            length
        };
        assert_eq!(read(false).await, MAX_UNPARSED);
        assert_eq!(read(true).await, 2 * MAX_UNPARSED);
    }

    /// Returns the chunks of a body that arrives byte by byte.
    async fn fed_byte_by_byte(length: usize) -> Vec<usize> {
        let progress = ParserProgress::default();
        let bytes = stream::iter(vec![Bytes::from_static(b"x"); length]).map(Ok::<_, Error>);
        let mut chunks = feed(Body::from_stream(bytes), &progress).into_data_stream();
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
    async fn an_interrupted_body_ends_with_the_error() {
        let parts = [Ok(Bytes::from_static(b"x")), Err(Error::new(FieldTooFar))];
        let body = Body::from_stream(stream::iter(parts));
        let mut chunks = feed(body, &ParserProgress::default()).into_data_stream();
        assert!(chunks.next().await.expect("an error").is_err());
    }

    #[tokio::test]
    async fn the_parser_gets_no_more_bytes_while_it_can_return_results() {
        const FIELDS: usize = 500;
        let field = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
        let mut form = field.repeat(FIELDS).into_bytes();
        let limit = form.len() + MAX_UNPARSED;
        form.resize(100 * limit, b'x');
        let progress = ParserProgress::default();
        let read = Arc::new(AtomicUsize::new(0));
        let counted = read.clone();
        let chunks: Vec<_> = form.chunks(MAX_CHUNK).map(Bytes::copy_from_slice).collect();
        let chunks = stream::iter(chunks).inspect(move |chunk| {
            counted.fetch_add(chunk.len(), Ordering::Relaxed);
        });
        let body = feed(Body::from_stream(chunks.map(Ok::<_, Error>)), &progress);
        let request = Request::post("/").header(CONTENT_TYPE, "multipart/form-data; boundary=x");
        let request = request.body(body).expect("a request");
        let mut fields = Multipart::from_request(request, &()).await.expect("a form");
        for number in 1..=FIELDS {
            let mut field = fields.next_field().await.expect("a form").expect("a field");
            progress.record_result();
            // The last field has no end.
            let mut has_content = number < FIELDS;
            while has_content {
                has_content = field.chunk().await.expect("a form").is_some();
                progress.record_result();
            }
        }
        let read = read.load(Ordering::Relaxed);
        assert!(read <= limit, "{read} bytes for {FIELDS} fields");
    }
}
