//! Receives a submission: finds out what the body is, reads it within limits, has it checked.

use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::extract::origin::Origin;
use crate::intake::accepted::Accepted;
use crate::intake::faults::Limits;
use crate::intake::memory::{JSON_COPIES, Reserved};
use crate::intake::{json, multipart, validate};
use crate::layers::time_limit::broken_off;
use crate::settings::{ApiSettings, MIB};
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

/// Receives a submission. The memory that it takes is given back once nobody has its images' bytes any more.
///
/// # Errors
/// Everything that can be wrong with a submission, and [`ApiError::Busy`].
pub(crate) async fn receive(state: &AppState, request: Request) -> ApiResult<Accepted> {
    let settings = &state.app.settings;
    let limits = Limits { file_size: settings.max_file_size, files: settings.max_files };
    let consent = settings.consent_version.clone();
    let origin = Origin::of(request.headers(), request.extensions(), settings.trusted_proxies);
    let mut memory = state.memory.share(origin.client());
    refuse_announced_excess(request.headers(), settings)?;
    let mut accepted = match media_type(request.headers()).as_str() {
        "application/json" => {
            let body = read(request.into_body(), settings.max_body(), &mut memory);
            let body = in_time(settings, body).await?;
            aside(move || validate::validate(json::draft(&body)?, limits, &consent)).await?
        }
        "multipart/form-data" => {
            let max_body = settings.max_body();
            let draft = multipart::draft(request, limits, max_body, &mut memory);
            let draft = in_time(settings, draft).await?;
            aside(move || validate::validate(draft, limits, &consent)).await?
        }
        _ => return Err(ApiError::UnsupportedMediaType),
    };
    memory.held_by(accepted.images.iter_mut().map(|image| &mut image.bytes));
    Ok(accepted)
}

/// Reads an upload, but not for ever: nothing of ours is half-done when it is dropped, and the memory that
/// it holds must come free.
async fn in_time<T>(
    settings: &ApiSettings,
    reading: impl Future<Output = ApiResult<T>>,
) -> ApiResult<T> {
    let read = tokio::time::timeout(settings.submit_time, reading).await;
    read.unwrap_or(Err(ApiError::UploadTimeout))
}

/// Refuses a body by its announced length, before any of it is read.
fn refuse_announced_excess(headers: &HeaderMap, settings: &ApiSettings) -> ApiResult<()> {
    let announced: Option<u64> = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    match announced {
        Some(length) if length > settings.max_body() as u64 => Err(too_large(settings.max_body())),
        _ => Ok(()),
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let name = value.unwrap_or_default().split(';').next().unwrap_or_default();
    name.trim().to_ascii_lowercase()
}

async fn read(body: Body, limit: usize, memory: &mut Reserved) -> ApiResult<Bytes> {
    let mut chunks = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| broken_off(&error))?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        memory.grow(JSON_COPIES * chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    if bytes.contains(&b'\\') {
        memory.grow(bytes.len())?;
    }
    Ok(bytes.freeze())
}

fn too_large(limit: usize) -> ApiError {
    ApiError::BodyTooLarge { limit_mib: limit / MIB }
}

/// Runs what takes long on the threads that are meant for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> ApiResult<T> + Send + 'static,
) -> ApiResult<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ApiError::Internal("the validation panicked".to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::memory::Memory;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn json_with_escapes_takes_more_memory() {
        // Of which one client gets the half.
        let memory = Memory::new(60 * 1024);
        let client = Ipv4Addr::LOCALHOST.into();
        let read =
            async |body: String| read(body.into(), usize::MAX, &mut memory.share(client)).await;
        assert!(read("x".repeat(10 * 1024)).await.is_ok());
        assert!(read("\\/".repeat(3 * 1024)).await.is_ok(), "24 KiB in all");
        assert!(matches!(read("\\/".repeat(5 * 1024)).await, Err(ApiError::Busy)));
    }
}
