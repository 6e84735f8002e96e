//! Codes and messages for all validation errors. The existing front end contains copies of some messages, so the first
//! sentence of each message must not change. Patients read these messages, so details for developers come last.

use crate::error::field_errors::{FieldError, FieldErrorCode, SubmissionFieldError};
use crate::settings::{ApiSettings, MIB};
use diagflow_photos::{OtherKind, Rejection};

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

impl Limits {
    pub(crate) fn of(settings: &ApiSettings) -> Self {
        Self {
            file_size: settings.max_file_bytes,
            files: settings.max_files,
            smtputf8: settings.smtputf8,
        }
    }
}

#[derive(Debug, Clone, Copy, thiserror::Error)]
#[cfg_attr(test, derive(strum::EnumCount))]
pub(crate) enum SubmissionError<'a> {
    #[error("Email is required. Enter the address where we should send the result.")]
    EmailRequired,
    #[error("Invalid email format. Check the address for typing errors.")]
    EmailInvalid,
    #[error(
        "We cannot send e-mails to addresses with letters other than a to z before the @. Enter another address."
    )]
    EmailNotSupported,
    #[error("Comments must be text. Remove unusual characters and try again.")]
    CommentsInvalid,
    #[error("Comments exceed {} characters. Shorten them.", MAX_COMMENTS)]
    CommentsTooLong,
    #[error("Consent is required. Read the consent text and confirm it.")]
    ConsentRequired,
    #[error(
        "We could not read your consent. Please reload the page, and read and confirm the consent text again. Details \
         for developers: consent_version must be a string with the version that was shown."
    )]
    ConsentVersionInvalid,
    #[error(
        "The consent text has changed: the current version is {current}. Reload the page, and read and confirm the new \
         text."
    )]
    ConsentVersionNotCurrent { current: &'a str },
    #[error("At least one image is required. Add a photo.")]
    ImagesRequired,
    #[error(
        "We could not read your photos. Please choose them again. Details for developers: images must be a list of \
         images."
    )]
    ImagesInvalid,
    #[error("Too many images (at most {max}). Remove some of them.")]
    TooManyImages { max: usize },
    #[error(
        "We could not read all of your photos. Please choose them again. Details for developers: the field {name} is \
         unknown. Send photos in the field images."
    )]
    UnknownField { name: &'a str },
}

impl SubmissionError<'_> {
    pub(crate) fn field_error(self) -> SubmissionFieldError {
        let (field, code) = match self {
            Self::EmailRequired => ("email", FieldErrorCode::EmailRequired),
            Self::EmailInvalid => ("email", FieldErrorCode::EmailInvalid),
            Self::EmailNotSupported => ("email", FieldErrorCode::EmailNotSupported),
            Self::CommentsInvalid => ("comments", FieldErrorCode::CommentsInvalid),
            Self::CommentsTooLong => ("comments", FieldErrorCode::CommentsTooLong),
            Self::ConsentRequired => ("consent", FieldErrorCode::ConsentRequired),
            Self::ConsentVersionInvalid => {
                ("consent_version", FieldErrorCode::ConsentVersionInvalid)
            }
            Self::ConsentVersionNotCurrent { .. } => {
                ("consent_version", FieldErrorCode::ConsentVersionNotCurrent)
            }
            Self::ImagesRequired => ("images", FieldErrorCode::ImagesRequired),
            Self::ImagesInvalid => ("images", FieldErrorCode::ImagesInvalid),
            Self::TooManyImages { .. } => ("images", FieldErrorCode::TooManyImages),
            Self::UnknownField { name } => (name, FieldErrorCode::FieldUnknown),
        };
        let values = match self {
            Self::CommentsTooLong => vec![("max", MAX_COMMENTS.to_string())],
            Self::TooManyImages { max } => vec![("max", max.to_string())],
            _ => Vec::new(),
        };
        let error = FieldError { field: field.to_owned(), code, message: self.to_string() };
        SubmissionFieldError { error, values }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(strum::EnumCount))]
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
    pub(crate) fn field_error(self, index: usize, limits: Limits) -> SubmissionFieldError {
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
        let number = index + 1;
        let message = format!("Image {number}: {sentence}");
        let mut values = vec![("image", number.to_string())];
        match self {
            Self::TooLarge => values.push(("max", (limits.file_size / MIB).to_string())),
            Self::Rejected(rejection) => values.push(("kind", kind(rejection).to_owned())),
            _ => {}
        }
        let error = FieldError { field: format!("images[{index}]"), code, message };
        SubmissionFieldError { error, values }
    }
}

/// Returns the kind of a rejected file, from which the text of `ImageTypeNotAllowed` selects its advice.
fn kind(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::OtherKind(OtherKind::Heic) => "heic",
        Rejection::OtherKind(OtherKind::Avif) => "avif",
        Rejection::OtherKind(OtherKind::JpegXl) => "jpeg-xl",
        Rejection::OtherKind(OtherKind::Gif) => "gif",
        Rejection::OtherKind(OtherKind::Svg) => "svg",
        Rejection::OtherKind(OtherKind::OtherImage) => "other-image",
        Rejection::OtherKind(OtherKind::Pdf) => "pdf",
        Rejection::OtherKind(OtherKind::Video) => "video",
        Rejection::OtherKind(OtherKind::WebPage) => "web-page",
        Rejection::UnsupportedJpeg => "unsupported-jpeg",
        Rejection::OtherKind(OtherKind::Unknown) | Rejection::TooLarge | Rejection::Damaged => {
            "unknown"
        }
    }
}
