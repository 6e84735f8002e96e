//! Reads a draft from `multipart/form-data`. Images are read from the fields that [`is_image_field`] accepts, and their
//! declared types are ignored. Unknown text fields are ignored, and unknown file fields are reported.

use crate::error::ApiError;
use crate::intake::content_disposition::ContentDisposition;
use crate::intake::draft::{Content, Draft, DraftImage, DraftValue, is_data_url, is_image_field};
use crate::intake::form_feed::{FieldTooFar, FormFeed, PARSER_MEMORY};
use crate::intake::upload_memory::MemoryReservation;
use crate::intake::validation_errors::Limits;
use crate::layers::time_limit::body_error;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_DISPOSITION;
use bytes::{Buf, Bytes, BytesMut};
use std::borrow::Cow;
use std::error::Error;
use std::iter::successors;

/// Maximum size of a text field, which is more than the longest valid comments need. Longer text is truncated here and
/// then rejected during validation.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// More fields than any form needs. Even an empty field takes time to parse.
const MAX_FIELDS: usize = 1000;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Length of `data:`.
const DATA_URL_START: usize = 5;
/// Maximum length of the part of a `data:` URL before the base64 digits, which is usually much shorter.
const DATA_URL_PREFIX: usize = 256;

struct Form {
    fields: Multipart,
    feed: FormFeed,
}

impl Form {
    async fn of(request: Request) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let feed = FormFeed::new(body);
        let request = Request::from_parts(parts, feed.body());
        let fields = Multipart::from_request(request, &()).await;
        Ok(Self { fields: fields.map_err(|_| ApiError::InvalidMultipart)?, feed })
    }

    async fn next_field(&mut self) -> Result<Option<FormField<'_>>, MultipartError> {
        let field = self.feed.parse(self.fields.next_field()).await?;
        Ok(field.map(|field| FormField { field, feed: &self.feed }))
    }
}

struct FormField<'a> {
    field: Field<'a>,
    feed: &'a FormFeed,
}

impl FormField<'_> {
    async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        self.feed.parse(self.field.chunk()).await
    }
}

/// Reads the fields into `draft`, which contains those before the error if the form cannot be read. `max_body` is the
/// router's limit for the body in bytes, which is quoted in error messages.
pub(crate) async fn read_draft(
    request: Request,
    limits: Limits,
    max_body: usize,
    memory: &mut MemoryReservation,
    draft: &mut Draft<'static>,
) -> Result<(), ApiError> {
    let map_error = |error: MultipartError| multipart_error(&error, max_body);
    memory.grow(PARSER_MEMORY)?;
    let mut form = Form::of(request).await?;
    let mut count = 0;
    while let Some(field) = form.next_field().await.map_err(map_error)? {
        count += 1;
        if count > MAX_FIELDS {
            return Err(ApiError::FormTooComplex);
        }
        let disposition = field.field.headers().get(CONTENT_DISPOSITION);
        let ContentDisposition { name, file_name } = disposition
            .map(|header| ContentDisposition::parse(header.as_bytes()))
            .unwrap_or_default();
        match name.as_str() {
            "email" => draft.email = text(field, memory, map_error).await?,
            "comments" => draft.comments = text(field, memory, map_error).await?,
            "consent" => draft.consent = text(field, memory, map_error).await?,
            "consent_version" => draft.consent_version = text(field, memory, map_error).await?,
            "idempotency_key" => draft.idempotency_key = text(field, memory, map_error).await?,
            name if is_image_field(name) => {
                let within_limit = draft.images.count < limits.files;
                let limit = if within_limit { limits.file_size } else { 0 };
                if let Some(image) = image(field, file_name, limit, memory, map_error).await? {
                    draft.images.extend(name, image.into());
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
    Ok(())
}

async fn text(
    field: FormField<'_>,
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

/// Returns `None` for an empty file without a name, which browsers send if no file is selected.
async fn image(
    field: FormField<'_>,
    file_name: Option<String>,
    limit: usize,
    memory: &mut MemoryReservation,
    map_error: impl Fn(MultipartError) -> ApiError,
) -> Result<Option<DraftImage<'static>>, ApiError> {
    let is_file = file_name.is_some();
    let name = file_name.filter(|name| !name.is_empty());
    let max_bytes = if is_file { limit } else { max_text_bytes(limit) };
    let (bytes, is_complete) = read(field, max_bytes, memory, map_error).await?;
    if name.is_none() && is_complete && bytes.is_empty() {
        return Ok(None);
    }
    let content = if !is_complete {
        Content::TooLarge
    } else if !is_file && is_text(&bytes) {
        // The text, its base64 digits and the decoded image are in memory at the same time.
        memory.grow(2 * bytes.len())?;
        String::from_utf8(bytes.into()).map_or(Content::None, |text| Content::Text(text.into()))
    } else if bytes.len() > limit {
        Content::TooLarge
    } else {
        Content::Bytes(bytes.freeze())
    };
    let name = name.map_or(DraftValue::Missing, |name| DraftValue::Text(name.into()));
    Ok(Some(DraftImage::new(name, content)))
}

/// Returns the maximum size of a text field that contains an image of at most `limit` bytes. Base64 is longer than the
/// decoded image, and may contain line breaks and percent-encoded digits.
fn max_text_bytes(limit: usize) -> usize {
    limit.div_ceil(3) * 4 + limit / 8 + DATA_URL_PREFIX
}

/// Whether a field contains base64 or a `data:` URL, as in JSON, rather than the image itself, which always contains
/// control characters.
fn is_text(bytes: &[u8]) -> bool {
    let is_binary = |character: char| character.is_control() && !character.is_whitespace();
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(is_binary))
}

/// Reads a field to its end. Returns at most its first `limit` bytes, and whether they are the complete field.
async fn read(
    mut field: FormField<'_>,
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

fn is_field_too_far(error: &MultipartError) -> bool {
    let error: &(dyn Error + 'static) = error;
    successors(Some(error), |error| (*error).source()).any(|error| error.is::<FieldTooFar>())
}

fn multipart_error(error: &MultipartError, max_body: usize) -> ApiError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::body_too_large(max_body),
        StatusCode::BAD_REQUEST => ApiError::InvalidMultipart,
        _ if is_field_too_far(error) => ApiError::FormTooComplex,
        // All other errors are connection errors.
        _ => body_error(error),
    }
}
