//! Schemas for the submission fields that `intake` reads.

use crate::openapi::examples::{self, COMMENTS, EMAIL};
use crate::openapi::files::FileBytes;
use utoipa::ToSchema;

/// Submission as JSON.
#[derive(ToSchema)]
#[schema(example = json!(examples::submission()))]
#[expect(dead_code, reason = "documents the fields that `intake::json` reads")]
pub(crate) struct JsonSubmission {
    /// E-mail address to which the result is sent.
    #[schema(format = "email", example = json!(EMAIL))]
    email: String,
    /// Comments from the patient, at most 5000 characters.
    #[schema(example = json!(COMMENTS))]
    comments: Option<String>,
    /// Whether the patient agrees to the consent text. Must be `true`.
    #[schema(example = true)]
    consent: bool,
    /// Version of the consent text that the patient saw. Default: the current version. Any other version is rejected
    /// with an error that contains the current version.
    consent_version: Option<String>,
    /// 1 to 10 images.
    #[schema(min_items = 1)]
    images: Vec<JsonImage>,
}

/// Image in JSON.
#[derive(ToSchema)]
#[schema(example = json!(examples::image()))]
#[expect(dead_code, reason = "documents the fields that `intake::json` reads")]
struct JsonImage {
    /// JPEG, PNG or WebP image as a `data:` URL or as base64, at most 10 MB when decoded.
    data: String,
    /// Media type. Ignored, because the API detects the type from the content.
    #[schema(rename = "type", example = "image/jpeg")]
    r#type: Option<String>,
    /// Number of bytes. Ignored, because the API counts the bytes itself.
    size: Option<u64>,
    /// File name.
    #[schema(example = "photo.jpg")]
    name: Option<String>,
}

/// Submission as a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `intake::multipart` reads")]
pub(crate) struct FormSubmission {
    /// E-mail address to which the result is sent.
    #[schema(format = "email", example = json!(EMAIL))]
    email: String,
    /// Comments from the patient, at most 5000 characters.
    #[schema(example = json!(COMMENTS))]
    comments: Option<String>,
    /// Whether the patient agrees to the consent text: `true`, `on`, `1` or `yes`.
    #[schema(example = "true")]
    consent: String,
    /// Version of the consent text that the patient saw. Default: the current version. Any other version is rejected
    /// with an error that contains the current version.
    consent_version: Option<String>,
    /// Key for plain HTML forms, which cannot send the `Idempotency-Key` header. Ignored if the request has the header.
    #[schema(max_length = 255)]
    idempotency_key: Option<String>,
    /// 1 to 10 JPEG, PNG or WebP files, at most 10 MB each. The field names `images[]`, `images[0]` and `image` are
    /// also accepted. `images[0]` is the first image, regardless of the order of the fields. The declared media type is
    /// ignored.
    #[schema(inline, min_items = 1)]
    images: Vec<FileBytes>,
}
