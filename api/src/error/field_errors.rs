//! Errors of single fields.

use serde::Serialize;
use utoipa::ToSchema;

/// An error in one field of a submission, a body or a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Name of the field. Images are counted from 0: `images[2]`.
    #[schema(example = "images[2]")]
    pub(crate) field: String,
    /// Stable code.
    #[schema(example = "image_too_large")]
    pub(crate) code: &'static str,
    /// What is wrong, for people. Images are counted from 1.
    #[schema(example = "Image 3: Exceeds 10MB limit")]
    pub(crate) message: String,
}
