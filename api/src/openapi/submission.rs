//! The fields of a submission, which `intake` reads.

use crate::openapi::examples::{self, COMMENTS, EMAIL};
use crate::openapi::files::FileBytes;
use utoipa::ToSchema;

/// Submission as JSON.
#[derive(ToSchema)]
#[schema(example = json!(examples::submission()))]
#[expect(dead_code, reason = "documents the fields that `intake::json` reads")]
pub(crate) struct JsonSubmission {
    /// E-mail address for the result.
    #[schema(format = "email", example = json!(EMAIL))]
    email: String,
    /// Comments of the patient, at most 5000 characters.
    #[schema(example = json!(COMMENTS))]
    comments: Option<String>,
    /// Whether the patient agrees to the consent text. Must be `true`.
    #[schema(example = true)]
    consent: bool,
    /// Version of the consent text that was shown. Default: the current version. Other versions are rejected, and the
    /// error contains the current version.
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
    /// Image as a `data:` URL or as base64, at most 10 MB when decoded: JPEG, PNG or WebP.
    data: String,
    /// Media type. Ignored: the API detects the type from the content.
    #[schema(rename = "type", example = "image/jpeg")]
    r#type: Option<String>,
    /// Number of bytes. Ignored: the API counts the bytes itself.
    size: Option<u64>,
    /// Name of the file.
    #[schema(example = "photo.jpg")]
    name: Option<String>,
}

/// Submission as a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `intake::multipart` reads")]
pub(crate) struct FormSubmission {
    /// E-mail address for the result.
    #[schema(format = "email", example = json!(EMAIL))]
    email: String,
    /// Comments of the patient, at most 5000 characters.
    #[schema(example = json!(COMMENTS))]
    comments: Option<String>,
    /// Whether the patient agrees to the consent text: `true`, `on`, `1` or `yes`.
    #[schema(example = "true")]
    consent: String,
    /// Version of the consent text that was shown. Default: the current version. Other versions are rejected, and the
    /// error contains the current version.
    consent_version: Option<String>,
    /// 1 to 10 files: JPEG, PNG or WebP, at most 10 MB each. The field names `images[]`, `images[0]` and `image` are
    /// accepted as well, and the declared media type is ignored.
    #[schema(inline, min_items = 1)]
    images: Vec<FileBytes>,
}
