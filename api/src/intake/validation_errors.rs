//! The codes and messages of all validation errors. The existing front end shows some of these messages, so they must
//! not change.

use crate::error::field_errors::{FieldError, FieldErrorCode};
use crate::settings::MIB;

pub(crate) const MAX_COMMENTS: usize = 5000;
/// A few bytes can declare billions of pixels, which are expensive to decode.
pub(crate) const MAX_PIXELS: u64 = 100_000_000;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) file_size: usize,
    pub(crate) files: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum SubmissionError<'a> {
    EmailRequired,
    EmailInvalid,
    CommentsInvalid,
    CommentsTooLong,
    ConsentRequired,
    ConsentVersionInvalid,
    ConsentVersionNotCurrent { current: &'a str },
    ImagesRequired,
    ImagesInvalid,
    TooManyImages,
}

impl SubmissionError<'_> {
    pub(crate) fn field_error(self, limits: Limits) -> FieldError {
        let (field, code, message) = match self {
            Self::EmailRequired => {
                ("email", FieldErrorCode::EmailRequired, "Email is required".to_owned())
            }
            Self::EmailInvalid => {
                ("email", FieldErrorCode::EmailInvalid, "Invalid email format".to_owned())
            }
            Self::CommentsInvalid => {
                ("comments", FieldErrorCode::CommentsInvalid, "Comments must be text".to_owned())
            }
            Self::CommentsTooLong => (
                "comments",
                FieldErrorCode::CommentsTooLong,
                format!("Comments exceed {MAX_COMMENTS} characters"),
            ),
            Self::ConsentRequired => {
                ("consent", FieldErrorCode::ConsentRequired, "Consent is required".to_owned())
            }
            Self::ConsentVersionInvalid => (
                "consent_version",
                FieldErrorCode::ConsentVersionInvalid,
                "Consent version must be text".to_owned(),
            ),
            Self::ConsentVersionNotCurrent { current } => (
                "consent_version",
                FieldErrorCode::ConsentVersionNotCurrent,
                format!("The consent text has changed: the current version is {current}"),
            ),
            Self::ImagesRequired => (
                "images",
                FieldErrorCode::ImagesRequired,
                "At least one image is required".to_owned(),
            ),
            Self::ImagesInvalid => {
                ("images", FieldErrorCode::ImagesInvalid, "Images must be a list".to_owned())
            }
            Self::TooManyImages => (
                "images",
                FieldErrorCode::TooManyImages,
                format!("Too many images (at most {})", limits.files),
            ),
        };
        FieldError { field: field.to_owned(), code, message }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImageError {
    TypeNotAllowed,
    TooLarge,
    Empty,
    DataInvalid,
    FileIdNotSupported,
    NotAnImage,
    TooManyPixels,
}

impl ImageError {
    /// `index` counts from 0.
    pub(crate) fn field_error(self, index: usize, limits: Limits) -> FieldError {
        let (code, sentence) = match self {
            Self::TypeNotAllowed => (
                FieldErrorCode::ImageTypeNotAllowed,
                "Invalid format. Allowed: JPEG, PNG, WebP".to_owned(),
            ),
            Self::TooLarge => (
                FieldErrorCode::ImageTooLarge,
                format!("Exceeds {}MB limit", limits.file_size / MIB),
            ),
            Self::Empty => (FieldErrorCode::ImageEmpty, "Is empty".to_owned()),
            Self::DataInvalid => (
                FieldErrorCode::ImageDataInvalid,
                "Data must be base64 or a base64 data: URL".to_owned(),
            ),
            Self::FileIdNotSupported => (
                FieldErrorCode::FileIdNotSupported,
                "Send the image itself: file_id is not supported".to_owned(),
            ),
            Self::NotAnImage => {
                (FieldErrorCode::ImageNotAnImage, "Is damaged, or not really an image".to_owned())
            }
            Self::TooManyPixels => (
                FieldErrorCode::ImageTooManyPixels,
                format!("Exceeds {} megapixels", MAX_PIXELS / 1_000_000),
            ),
        };
        let message = format!("Image {}: {sentence}", index + 1);
        FieldError { field: format!("images[{index}]"), code, message }
    }
}
