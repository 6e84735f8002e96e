//! Reads a draft from `multipart/form-data`: `email`, `comments`, `consent`, `consent_version`, and
//! `images` (also `images[]`) once for each file. Other fields are passed over.

use crate::error::ApiError;
use crate::intake::draft::{Content, Draft, DraftImage, Given};
use crate::intake::faults::Limits;
use crate::intake::memory::Reserved;
use crate::layers::time_limit::broken_off;
use crate::settings::MIB;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use bytes::BytesMut;
use std::borrow::Cow;

/// Most bytes of a field that is no image. More than the longest comments take; what is longer is
/// cut there, and then too long in the eyes of the validation.
const LONGEST_TEXT: usize = 64 * 1024;

/// Reads a body of at most `max_body` bytes (the router enforces them).
///
/// # Errors
/// When it is not multipart, too large, cut off, or there is no memory for it.
pub(crate) async fn draft(
    request: Request,
    limits: Limits,
    max_body: usize,
    memory: &mut Reserved,
) -> Result<Draft<'static>, ApiError> {
    let refused = |error: MultipartError| refusal(&error, max_body);
    let mut form =
        Multipart::from_request(request, &()).await.map_err(|_| ApiError::InvalidMultipart)?;
    let mut draft = Draft::default();
    while let Some(field) = form.next_field().await.map_err(refused)? {
        match field.name().unwrap_or_default() {
            "email" => draft.email = text(field, memory, refused).await?,
            "comments" => draft.comments = text(field, memory, refused).await?,
            "consent" => draft.consent = text(field, memory, refused).await?,
            "consent_version" => draft.consent_version = text(field, memory, refused).await?,
            "images" | "images[]" => {
                let kept = draft.images.count < limits.files;
                let most = if kept { limits.file_size } else { 0 };
                if let Some(image) = image(field, most, memory, refused).await? {
                    draft.images.push(image);
                }
            }
            _ => {
                read(field, 0, memory, refused).await?;
            }
        }
    }
    Ok(draft)
}

async fn text(
    field: Field<'_>,
    memory: &mut Reserved,
    refused: impl Fn(MultipartError) -> ApiError,
) -> Result<Given<'static>, ApiError> {
    let (bytes, complete) = read(field, LONGEST_TEXT, memory, refused).await?;
    let text = if complete {
        String::from_utf8(bytes.into()).ok()
    } else {
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(text.map_or(Given::Other, |text| Given::Text(Cow::Owned(text))))
}

/// Reads a file; none where a form was sent with nothing chosen, which browsers write as an empty
/// file without a name.
async fn image(
    field: Field<'_>,
    most: usize,
    memory: &mut Reserved,
    refused: impl Fn(MultipartError) -> ApiError,
) -> Result<Option<DraftImage<'static>>, ApiError> {
    let nameless = field.file_name().is_none_or(str::is_empty);
    let given = |text: Option<&str>| {
        text.map_or(Given::Missing, |text| Given::Text(Cow::Owned(text.to_owned())))
    };
    let (name, declared) = (given(field.file_name()), given(field.content_type()));
    let (bytes, complete) = read(field, most, memory, refused).await?;
    if nameless && complete && bytes.is_empty() {
        return Ok(None);
    }
    let content = if complete { Content::Bytes(bytes.freeze()) } else { Content::TooLarge };
    Ok(Some(DraftImage { name, declared, content }))
}

/// Reads a field to its end, but keeps at most `most` bytes; tells whether that was all of it.
async fn read(
    mut field: Field<'_>,
    most: usize,
    memory: &mut Reserved,
    refused: impl Fn(MultipartError) -> ApiError,
) -> Result<(BytesMut, bool), ApiError> {
    let (mut kept, mut complete) = (BytesMut::new(), true);
    while let Some(chunk) = field.chunk().await.map_err(&refused)? {
        let room = most - kept.len();
        complete &= chunk.len() <= room;
        let chunk = &chunk[..chunk.len().min(room)];
        memory.grow(chunk.len())?;
        kept.extend_from_slice(chunk);
    }
    Ok((kept, complete))
}

fn refusal(error: &MultipartError, max_body: usize) -> ApiError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::BodyTooLarge { limit_mib: max_body / MIB },
        StatusCode::BAD_REQUEST => ApiError::InvalidMultipart,
        // The connection, not the form.
        _ => broken_off(error),
    }
}
