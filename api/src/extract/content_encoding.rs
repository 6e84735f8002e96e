//! Decompresses request bodies with `Content-Encoding: gzip`. Other encodings are refused: hardly any client compresses
//! requests, and each of them would be one more parser of untrusted bytes.

use crate::error::{ApiError, ApiResult};
use async_compression::tokio::bufread::GzipDecoder;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use futures::{StreamExt, TryStreamExt};
use std::io;
use tokio_util::io::{ReaderStream, StreamReader};

/// A stream of bytes that is not complete and valid gzip.
#[derive(Debug, thiserror::Error)]
#[error("the body is not valid gzip")]
pub(crate) struct GzipError;

/// Returns the request with its decompressed body, of which the caller must read a bounded number of bytes. At most
/// `limit` bytes are decompressed, because a few of them could otherwise expand to nothing without end.
pub(crate) fn decompressed(mut request: Request, limit: usize) -> ApiResult<Request> {
    match encodings(request.headers()).as_slice() {
        [] => return Ok(request),
        [gzip] if gzip == "gzip" || gzip == "x-gzip" => {}
        _ => return Err(ApiError::UnsupportedContentEncoding),
    }
    request.headers_mut().remove(CONTENT_ENCODING);
    request.headers_mut().remove(CONTENT_LENGTH);
    Ok(request.map(|body| {
        let mut rest = limit;
        let compressed = body.into_data_stream().map(move |chunk| {
            let chunk = chunk.map_err(io::Error::other)?;
            rest = rest.checked_sub(chunk.len()).ok_or(io::ErrorKind::InvalidData)?;
            Ok::<_, io::Error>(chunk)
        });
        let mut gzip = GzipDecoder::new(StreamReader::new(compressed));
        // One file can consist of several compressed ones (RFC 1952, 2.2).
        gzip.multiple_members(true);
        Body::from_stream(ReaderStream::new(gzip).map_err(read_error))
    }))
}

/// All content encodings in lower case, except `identity`.
fn encodings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let all = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    all.map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != "identity")
        .collect()
}

/// The error of the connection, if that is the cause, and otherwise a [`GzipError`].
fn read_error(error: io::Error) -> axum::Error {
    error.downcast().unwrap_or_else(|_| axum::Error::new(GzipError))
}
