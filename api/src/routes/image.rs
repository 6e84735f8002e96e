//! The response that contains an image, for staff and for patients.

use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
};
use bytes::Bytes;
use diagflow_store::File;

pub(super) type ImageResponse = ([(HeaderName, String); 4], Bytes);

/// Browsers display the image instead of downloading it. The content security policy prevents browsers from executing
/// scripts in an image.
pub(super) fn image_response(file: File, bytes: Bytes) -> ImageResponse {
    let extension = file.media_type.rsplit('/').next().unwrap_or_default();
    let headers = [
        (CONTENT_DISPOSITION, format!("inline; filename=\"{}.{extension}\"", file.id)),
        (CONTENT_TYPE, file.media_type),
        (CACHE_CONTROL, "no-store".to_owned()),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
    ];
    (headers, bytes)
}
