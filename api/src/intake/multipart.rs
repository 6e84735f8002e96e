//! Reads a draft from `multipart/form-data`. Images are in the fields of [`is_image_field`]; the type that a part
//! declares is not read. Unknown texts are ignored, and unknown files are reported.

use crate::error::ApiError;
use crate::intake::content_disposition::ContentDisposition;
use crate::intake::draft::{Content, Draft, DraftImage, DraftValue, is_data_url, is_image_field};
use crate::intake::upload_memory::MemoryReservation;
use crate::intake::validation_errors::Limits;
use crate::layers::time_limit::body_error;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_DISPOSITION;
use bytes::{Buf, BytesMut};
use std::borrow::Cow;

/// Longer than the longest valid comments. Longer texts are truncated here and then rejected by the validation.
const MAX_TEXT_BYTES: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Length of `data:`.
const DATA_URL_START: usize = 5;
/// More than the longest usual part of a `data:` URL before the digits.
const DATA_URL_PREFIX: usize = 256;

/// The router limits the body to `max_body` bytes.
pub(crate) async fn draft(
    request: Request,
    limits: Limits,
    max_body: usize,
    memory: &mut MemoryReservation,
) -> Result<Draft<'static>, ApiError> {
    let map_error = |error: MultipartError| multipart_error(&error, max_body);
    let mut form =
        Multipart::from_request(request, &()).await.map_err(|_| ApiError::InvalidMultipart)?;
    let mut draft = Draft::default();
    while let Some(field) = form.next_field().await.map_err(map_error)? {
        let disposition = field.headers().get(CONTENT_DISPOSITION);
        let ContentDisposition { name, file_name } = disposition
            .map(|header| ContentDisposition::parse(header.as_bytes()))
            .unwrap_or_default();
        match name.as_str() {
            "email" => draft.email = text(field, memory, map_error).await?,
            "comments" => draft.comments = text(field, memory, map_error).await?,
            "consent" => draft.consent = text(field, memory, map_error).await?,
            "consent_version" => draft.consent_version = text(field, memory, map_error).await?,
            name if is_image_field(name) => {
                let within_limit = draft.images.count < limits.files;
                let limit = if within_limit { limits.file_size } else { 0 };
                if let Some(image) = image(field, file_name, limit, memory, map_error).await? {
                    draft.images.push(image);
                }
            }
            name => {
                let (start, _) = read(field, DATA_URL_START, memory, map_error).await?;
                let is_file = file_name.is_some_and(|file| !file.is_empty() || !start.is_empty());
                if is_file || is_data_url(&start) {
                    draft.add_unknown(name, true);
                }
            }
        }
    }
    Ok(draft)
}

async fn text(
    field: Field<'_>,
    memory: &mut MemoryReservation,
    map_error: impl Fn(MultipartError) -> ApiError,
) -> Result<DraftValue<'static>, ApiError> {
    let (mut bytes, is_complete) = read(field, MAX_TEXT_BYTES, memory, map_error).await?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.advance(BYTE_ORDER_MARK.len());
    }
    let text = if is_complete {
        String::from_utf8(bytes.into()).ok()
    } else {
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(text.map_or(DraftValue::Other, |text| DraftValue::Text(Cow::Owned(text))))
}

/// `None` for an empty file without a name: browsers send one if no file is selected.
async fn image(
    field: Field<'_>,
    file_name: Option<String>,
    limit: usize,
    memory: &mut MemoryReservation,
    map_error: impl Fn(MultipartError) -> ApiError,
) -> Result<Option<DraftImage<'static>>, ApiError> {
    let is_file = file_name.is_some();
    let name = file_name.filter(|name| !name.is_empty());
    // A text may be a `data:` URL, which is longer than its image.
    let max_bytes = if is_file { limit } else { limit.div_ceil(3) * 4 + DATA_URL_PREFIX };
    let (bytes, is_complete) = read(field, max_bytes, memory, map_error).await?;
    if name.is_none() && is_complete && bytes.is_empty() {
        return Ok(None);
    }
    let content = if !is_complete {
        Content::TooLarge
    } else if !is_file && is_data_url(&bytes) {
        // The text and the decoded image exist at the same time.
        memory.grow(bytes.len())?;
        String::from_utf8(bytes.into()).map_or(Content::None, |text| Content::Text(text.into()))
    } else if bytes.len() > limit {
        Content::TooLarge
    } else {
        Content::Bytes(bytes.freeze())
    };
    let name = name.map_or(DraftValue::Missing, |name| DraftValue::Text(name.into()));
    Ok(Some(DraftImage { name, content }))
}

/// Reads a field to its end, and returns at most `limit` bytes and whether the field is complete.
async fn read(
    mut field: Field<'_>,
    limit: usize,
    memory: &mut MemoryReservation,
    map_error: impl Fn(MultipartError) -> ApiError,
) -> Result<(BytesMut, bool), ApiError> {
    let (mut buffer, mut is_complete) = (BytesMut::new(), true);
    while let Some(chunk) = field.chunk().await.map_err(&map_error)? {
        let room = limit - buffer.len();
        is_complete &= chunk.len() <= room;
        let chunk = &chunk[..chunk.len().min(room)];
        memory.grow(chunk.len())?;
        buffer.extend_from_slice(chunk);
    }
    Ok((buffer, is_complete))
}

fn multipart_error(error: &MultipartError, max_body: usize) -> ApiError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::body_too_large(max_body),
        StatusCode::BAD_REQUEST => ApiError::InvalidMultipart,
        // A connection error.
        _ => body_error(error),
    }
}
