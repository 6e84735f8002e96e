use crate::app::AppState;
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::body::media_type;
use crate::extract::client_info::ClientInfo;
use crate::extract::content_encoding::decompressed;
use crate::extract::json_text::lenient;
use crate::intake::draft::Draft;
use crate::intake::form_texts::FormTexts;
use crate::intake::upload_memory::{JSON_COPIES, MemoryReservation};
use crate::intake::valid_submission::ValidSubmission;
use crate::intake::validation_errors::Limits;
use crate::intake::{json, multipart, validate};
use crate::layers::time_limit::body_error;
use crate::settings::ApiSettings;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

/// Errors returned by [`receive`], in addition to [`crate::extract::body::READ_ERRORS`].
pub(crate) const RECEIVE_ERRORS: [ErrorCode; 7] = [
    ErrorCode::InvalidSubmission,
    ErrorCode::InvalidJson,
    ErrorCode::InvalidMultipart,
    ErrorCode::FormTooComplex,
    ErrorCode::UnsupportedMediaType,
    ErrorCode::Busy,
    ErrorCode::Internal,
];

/// More than the texts of a form need, which precede its photos.
const MAX_TEXTS_BYTES: usize = 256 * 1024;

/// Reads and validates a submission. If it is a form, its texts are stored in `texts` even if it is rejected. The memory
/// reserved for it is released when the last copy of the images' bytes is dropped.
pub(crate) async fn receive(
    state: &AppState,
    request: Request,
    texts: &mut FormTexts,
) -> ApiResult<ValidSubmission> {
    let settings = &state.app.settings;
    let limits = Limits::of(settings);
    let consent = settings.consent_version.clone();
    let client = ClientInfo::of(request.headers(), request.extensions(), &settings.proxies);
    let mut memory = state.memory.reserve(client.key());
    check_content_length(request.headers(), settings)?;
    let request = decompressed(request, settings.max_body())?;
    let deadline = Instant::now() + settings.upload_timeout;
    let draft = match media_type(request.headers()).as_str() {
        "application/json" => {
            let body = read(request.into_body(), settings.max_body(), &mut memory);
            let body = until(deadline, body).await?;
            run_blocking(move || {
                let text = lenient(body);
                Ok(validate::validate(json::draft(&text)?, limits, &consent))
            })
            .await?
        }
        "multipart/form-data" => {
            let max_body = settings.max_body();
            let mut draft = Draft::default();
            let reading = multipart::read_draft(request, limits, max_body, &mut memory, &mut draft);
            let read = until(deadline, reading).await;
            *texts = FormTexts::of(&draft);
            read?;
            run_blocking(move || Ok(validate::validate(draft, limits, &consent))).await?
        }
        _ => {
            let accepted = "application/json or multipart/form-data";
            return Err(ApiError::UnsupportedMediaType { accepted });
        }
    };
    let checking = draft.check_photos(&state.photo_checks, client.key());
    let mut submission = timeout_at(deadline, checking).await.unwrap_or(Err(ApiError::Busy))?;
    memory.attach_to(submission.images.iter_mut().map(|image| &mut image.bytes));
    Ok(submission)
}

/// Returns the texts of a form that is rejected before its photos are read.
pub(crate) async fn receive_texts(state: &AppState, mut request: Request) -> FormTexts {
    let settings = &state.app.settings;
    let client = ClientInfo::of(request.headers(), request.extensions(), &settings.proxies);
    let mut memory = state.memory.reserve(client.key());
    DefaultBodyLimit::max(MAX_TEXTS_BYTES).apply(&mut request);
    let (limits, mut draft) = (Limits::of(settings), Draft::default());
    let reading = multipart::read_draft(request, limits, MAX_TEXTS_BYTES, &mut memory, &mut draft);
    // The rest of the form is not needed, so an error does not matter.
    let _ = timeout_at(Instant::now() + settings.request_timeout, reading).await;
    FormTexts::of(&draft)
}

/// Aborts an upload at the deadline, because uploads hold memory. This is safe at any time, because nothing has been
/// stored yet.
async fn until<T>(deadline: Instant, reading: impl Future<Output = ApiResult<T>>) -> ApiResult<T> {
    timeout_at(deadline, reading).await.unwrap_or(Err(ApiError::UploadTimeout))
}

/// Rejects a body whose `Content-Length` is too large, before the body is read.
pub(crate) fn check_content_length(headers: &HeaderMap, settings: &ApiSettings) -> ApiResult<()> {
    let announced: Option<u64> = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    match announced {
        Some(length) if length > settings.max_body() as u64 => {
            Err(ApiError::body_too_large(settings.max_body()))
        }
        _ => Ok(()),
    }
}

async fn read(body: Body, limit: usize, memory: &mut MemoryReservation) -> ApiResult<Bytes> {
    let mut chunks = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| body_error(&error))?;
        if bytes.len() + chunk.len() > limit {
            return Err(ApiError::body_too_large(limit));
        }
        memory.grow(JSON_COPIES * chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    if bytes.contains(&b'\\') {
        memory.grow(bytes.len())?;
    }
    Ok(bytes.freeze())
}

async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> ApiResult<T> + Send + 'static,
) -> ApiResult<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ApiError::internal("the validation panicked"))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::upload_memory::UploadMemory;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn json_with_escapes_reserves_more_memory() {
        // One client can reserve half of the memory.
        let memory = UploadMemory::new(60 * 1024);
        let client = Ipv4Addr::LOCALHOST.into();
        let read =
            async |body: String| read(body.into(), usize::MAX, &mut memory.reserve(client)).await;
        assert!(read("x".repeat(10 * 1024)).await.is_ok());
        assert!(read("\\/".repeat(3 * 1024)).await.is_ok(), "this body reserves 24 KiB");
        assert!(matches!(read("\\/".repeat(5 * 1024)).await, Err(ApiError::Busy)));
    }
}
