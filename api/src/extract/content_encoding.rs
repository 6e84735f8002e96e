//! Decompresses request bodies with `Content-Encoding: gzip`. Other encodings are rejected, because hardly any client
//! uses them, and each one would add another parser for untrusted input.

use crate::error::{ApiError, ApiResult};
use async_compression::tokio::bufread::GzipDecoder;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use diagflow_store::truncated;
use futures::{StreamExt, TryStreamExt};
use std::io;
use tokio_util::io::{ReaderStream, StreamReader};

/// Maximum length of an encoding quoted in an error message.
const MAX_ENCODING_CHARS: usize = 40;

/// The error for a body that is not complete, valid gzip.
#[derive(Debug, thiserror::Error)]
#[error("the body is not valid gzip")]
pub(crate) struct GzipError;

/// The error for a body whose compressed bytes exceed the limit.
#[derive(Debug, thiserror::Error)]
#[error("the compressed body is larger than {limit} bytes")]
pub(crate) struct CompressedBodyTooLarge {
    pub(crate) limit: usize,
}

/// Returns the request with a decompressed body. The caller must limit the number of decompressed bytes it reads.
/// `limit` applies to the compressed bytes, because an endless gzip stream could decompress to no bytes at all.
pub(crate) fn decompressed(mut request: Request, limit: usize) -> ApiResult<Request> {
    match encodings(request.headers()).as_slice() {
        [] => return Ok(request),
        [gzip] if gzip == "gzip" || gzip == "x-gzip" => {}
        others => {
            let encoding = truncated(&others.join(", "), MAX_ENCODING_CHARS);
            return Err(ApiError::UnsupportedContentEncoding { encoding });
        }
    }
    request.headers_mut().remove(CONTENT_ENCODING);
    request.headers_mut().remove(CONTENT_LENGTH);
    Ok(request.map(|body| {
        let mut rest = limit;
        let compressed = body.into_data_stream().map(move |chunk| {
            let chunk = chunk.map_err(io::Error::other)?;
            rest = rest.checked_sub(chunk.len()).ok_or_else(|| too_large(limit))?;
            Ok::<_, io::Error>(chunk)
        });
        let mut gzip = GzipDecoder::new(StreamReader::new(compressed));
        // A gzip file can consist of several members (RFC 1952, 2.2).
        gzip.multiple_members(true);
        Body::from_stream(ReaderStream::new(gzip).map_err(read_error))
    }))
}

/// Returns all content encodings in lower case, except `identity`.
fn encodings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let all = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    all.map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != "identity")
        .collect()
}

fn too_large(limit: usize) -> io::Error {
    io::Error::other(axum::Error::new(CompressedBodyTooLarge { limit }))
}

/// Returns the error reported by the compressed body, if any; otherwise, a [`GzipError`].
fn read_error(error: io::Error) -> axum::Error {
    error.downcast().unwrap_or_else(|_| axum::Error::new(GzipError))
}
