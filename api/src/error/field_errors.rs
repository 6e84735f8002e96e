//! One thing that is wrong with a submission, or with another request.

use serde::Serialize;
use utoipa::ToSchema;

/// One thing that is wrong with a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Where: `email`, `comments`, `consent`, `consent_version`, `images`, or one of them, counted
    /// from 0, as `images[2]`.
    #[schema(example = "images[2]")]
    pub(crate) field: String,
    /// Stable code.
    #[schema(example = "image_too_large")]
    pub(crate) code: &'static str,
    /// What to tell a person; images are counted from 1.
    #[schema(example = "Image 3: Exceeds 10MB limit")]
    pub(crate) message: String,
}
