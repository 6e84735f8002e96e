//! All errors of submissions: codes and messages in one table. The existing front end shows some of these
//! messages, so they must not change.

use crate::error::field_errors::FieldError;
use crate::settings::MIB;

pub(crate) const MAX_COMMENTS: usize = 5000;
/// A few bytes can declare billions of pixels, and decoding them is expensive.
pub(crate) const MAX_PIXELS: u64 = 100_000_000;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) file_size: usize,
    pub(crate) files: usize,
}

/// An error of the submission as a whole.
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
            Self::EmailRequired => ("email", "email_required", "Email is required".to_owned()),
            Self::EmailInvalid => ("email", "email_invalid", "Invalid email format".to_owned()),
            Self::CommentsInvalid => {
                ("comments", "comments_invalid", "Comments must be text".to_owned())
            }
            Self::CommentsTooLong => (
                "comments",
                "comments_too_long",
                format!("Comments exceed {MAX_COMMENTS} characters"),
            ),
            Self::ConsentRequired => {
                ("consent", "consent_required", "Consent is required".to_owned())
            }
            Self::ConsentVersionInvalid => (
                "consent_version",
                "consent_version_invalid",
                "Consent version must be text".to_owned(),
            ),
            Self::ConsentVersionNotCurrent { current } => (
                "consent_version",
                "consent_version_not_current",
                format!("The consent text has changed: the current version is {current}"),
            ),
            Self::ImagesRequired => {
                ("images", "images_required", "At least one image is required".to_owned())
            }
            Self::ImagesInvalid => ("images", "images_invalid", "Images must be a list".to_owned()),
            Self::TooManyImages => {
                ("images", "too_many_images", format!("Too many images (at most {})", limits.files))
            }
        };
        FieldError { field: field.to_owned(), code, message }
    }
}

/// An error of one image.
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
            Self::TypeNotAllowed => {
                ("image_type_not_allowed", "Invalid format. Allowed: JPEG, PNG, WebP".to_owned())
            }
            Self::TooLarge => {
                ("image_too_large", format!("Exceeds {}MB limit", limits.file_size / MIB))
            }
            Self::Empty => ("image_empty", "Is empty".to_owned()),
            Self::DataInvalid => {
                ("image_data_invalid", "Data must be base64 or a base64 data: URL".to_owned())
            }
            Self::FileIdNotSupported => (
                "file_id_not_supported",
                "Send the image itself: file_id is not supported".to_owned(),
            ),
            Self::NotAnImage => {
                ("image_not_an_image", "Is damaged, or not really an image".to_owned())
            }
            Self::TooManyPixels => {
                ("image_too_many_pixels", format!("Exceeds {} megapixels", MAX_PIXELS / 1_000_000))
            }
        };
        let message = format!("Image {}: {sentence}", index + 1);
        FieldError { field: format!("images[{index}]"), code, message }
    }
}
