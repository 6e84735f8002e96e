//! Reads a draft from `multipart/form-data`. Files are in the field `images` or `images[]`; unknown fields are
//! ignored.

use crate::error::ApiError;
use crate::intake::draft::{Content, Draft, DraftImage, DraftValue};
use crate::intake::upload_memory::MemoryReservation;
use crate::intake::validation_errors::Limits;
use crate::layers::time_limit::body_error;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use bytes::BytesMut;
use std::borrow::Cow;

/// Longer than the longest valid comments. Longer texts are truncated here and then rejected by the validation.
const MAX_TEXT_BYTES: usize = 64 * 1024;

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
        match field.name().unwrap_or_default() {
            "email" => draft.email = text(field, memory, map_error).await?,
            "comments" => draft.comments = text(field, memory, map_error).await?,
            "consent" => draft.consent = text(field, memory, map_error).await?,
            "consent_version" => draft.consent_version = text(field, memory, map_error).await?,
            "images" | "images[]" => {
                let within_limit = draft.images.count < limits.files;
                let limit = if within_limit { limits.file_size } else { 0 };
                if let Some(image) = image(field, limit, memory, map_error).await? {
                    draft.images.push(image);
                }
            }
            _ => {
                read(field, 0, memory, map_error).await?;
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
    let (bytes, is_complete) = read(field, MAX_TEXT_BYTES, memory, map_error).await?;
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
    limit: usize,
    memory: &mut MemoryReservation,
    map_error: impl Fn(MultipartError) -> ApiError,
) -> Result<Option<DraftImage<'static>>, ApiError> {
    let is_unnamed = field.file_name().is_none_or(str::is_empty);
    let value = |text: Option<&str>| {
        text.map_or(DraftValue::Missing, |text| DraftValue::Text(Cow::Owned(text.to_owned())))
    };
    let (name, declared) = (value(field.file_name()), value(field.content_type()));
    let (bytes, is_complete) = read(field, limit, memory, map_error).await?;
    if is_unnamed && is_complete && bytes.is_empty() {
        return Ok(None);
    }
    let content = if is_complete { Content::Bytes(bytes.freeze()) } else { Content::TooLarge };
    Ok(Some(DraftImage { name, declared, content }))
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
