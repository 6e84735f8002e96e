//! Codes and messages for all validation errors. The existing front end contains copies of some messages, so the first
//! sentence of each message must not change. Patients read these messages, so details for developers come last.

use crate::error::field_errors::{FieldError, FieldErrorCode};
use crate::settings::MIB;
use diagflow_photos::Rejection;

pub(crate) const MAX_COMMENTS: usize = 5000;
/// The number of pixels is limited, because a few bytes can declare billions of pixels, which are expensive to decode.
pub(crate) const MAX_PIXELS: u64 = 100_000_000;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) file_size: usize,
    pub(crate) files: usize,
    /// Whether the mail server can send e-mails to international addresses.
    pub(crate) smtputf8: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum SubmissionError<'a> {
    EmailRequired,
    EmailInvalid,
    EmailNotSupported,
    CommentsInvalid,
    CommentsTooLong,
    ConsentRequired,
    ConsentVersionInvalid,
    ConsentVersionNotCurrent { current: &'a str },
    ImagesRequired,
    ImagesInvalid,
    TooManyImages,
    UnknownField { name: &'a str },
}

impl SubmissionError<'_> {
    pub(crate) fn field_error(self, limits: Limits) -> FieldError {
        let (field, code, message) = match self {
            Self::EmailRequired => (
                "email",
                FieldErrorCode::EmailRequired,
                "Email is required. Enter the address where we should send the result.".to_owned(),
            ),
            Self::EmailInvalid => (
                "email",
                FieldErrorCode::EmailInvalid,
                "Invalid email format. Check the address for typing errors.".to_owned(),
            ),
            Self::EmailNotSupported => (
                "email",
                FieldErrorCode::EmailNotSupported,
                "We cannot send e-mails to addresses with letters other than a to z before the @. \
                 Enter another address."
                    .to_owned(),
            ),
            Self::CommentsInvalid => (
                "comments",
                FieldErrorCode::CommentsInvalid,
                "Comments must be text. Remove unusual characters and try again.".to_owned(),
            ),
            Self::CommentsTooLong => (
                "comments",
                FieldErrorCode::CommentsTooLong,
                format!("Comments exceed {MAX_COMMENTS} characters. Shorten them."),
            ),
            Self::ConsentRequired => (
                "consent",
                FieldErrorCode::ConsentRequired,
                "Consent is required. Read the consent text and confirm it.".to_owned(),
            ),
            Self::ConsentVersionInvalid => (
                "consent_version",
                FieldErrorCode::ConsentVersionInvalid,
                "We could not read your consent. Please reload the page, and read and confirm the consent text \
                 again. Details for developers: consent_version must be a string with the version that was shown."
                    .to_owned(),
            ),
            Self::ConsentVersionNotCurrent { current } => (
                "consent_version",
                FieldErrorCode::ConsentVersionNotCurrent,
                format!(
                    "The consent text has changed: the current version is {current}. Reload the \
                     page, and read and confirm the new text."
                ),
            ),
            Self::ImagesRequired => (
                "images",
                FieldErrorCode::ImagesRequired,
                "At least one image is required. Add a photo.".to_owned(),
            ),
            Self::ImagesInvalid => (
                "images",
                FieldErrorCode::ImagesInvalid,
                "We could not read your photos. Please choose them again. Details for developers: images must be \
                 a list of images."
                    .to_owned(),
            ),
            Self::TooManyImages => (
                "images",
                FieldErrorCode::TooManyImages,
                format!("Too many images (at most {}). Remove some of them.", limits.files),
            ),
            Self::UnknownField { name } => (
                name,
                FieldErrorCode::FieldUnknown,
                format!(
                    "We could not read all of your photos. Please choose them again. Details for developers: the \
                     field {name} is unknown. Send photos in the field images."
                ),
            ),
        };
        FieldError { field: field.to_owned(), code, message }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImageError {
    TooLarge,
    Empty,
    DataInvalid,
    FileIdNotSupported,
    TooManyPixels { max: u64 },
    Rejected(Rejection),
}

impl From<Rejection> for ImageError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl ImageError {
    /// `index` is zero-based.
    pub(crate) fn field_error(self, index: usize, limits: Limits) -> FieldError {
        let (code, sentence) = match self {
            Self::TooLarge => (
                FieldErrorCode::ImageTooLarge,
                format!(
                    "Exceeds {}MB limit. Choose a smaller photo, or send a screenshot of it.",
                    limits.file_size / MIB
                ),
            ),
            Self::Empty => (
                FieldErrorCode::ImageEmpty,
                "The file is empty. Please choose the photo again.".to_owned(),
            ),
            Self::DataInvalid => (
                FieldErrorCode::ImageDataInvalid,
                "The photo could not be read. Please choose it again. Details for developers: data must be base64 \
                 or a base64 data: URL."
                    .to_owned(),
            ),
            Self::FileIdNotSupported => (
                FieldErrorCode::FileIdNotSupported,
                "The photo could not be read. Please choose it again. Details for developers: file_id is not \
                 supported. Send the image itself."
                    .to_owned(),
            ),
            Self::TooManyPixels { max } => (
                FieldErrorCode::ImageTooManyPixels,
                format!(
                    "Exceeds {} megapixels. Choose a smaller photo, or send a screenshot of it.",
                    max / 1_000_000
                ),
            ),
            Self::Rejected(Rejection::Damaged) => {
                (FieldErrorCode::ImageDamaged, Rejection::Damaged.to_string())
            }
            Self::Rejected(Rejection::TooLarge) => {
                (FieldErrorCode::ImageTooManyPixels, Rejection::TooLarge.to_string())
            }
            Self::Rejected(rejection) => (
                FieldErrorCode::ImageTypeNotAllowed,
                format!("Invalid format. Allowed: JPEG, PNG, WebP. {rejection}"),
            ),
        };
        let message = format!("Image {}: {sentence}", index + 1);
        FieldError { field: format!("images[{index}]"), code, message }
    }
}
