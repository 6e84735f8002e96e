//! Errors of single fields.

use serde::Serialize;
use utoipa::ToSchema;

/// An error in one field of a submission, a body or a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Name of the field. Images are counted from 0: `images[2]`.
    #[schema(example = "images[2]")]
    pub(crate) field: String,
    /// Stable error code.
    #[schema(value_type = String, example = "image_too_large")]
    pub(crate) code: FieldErrorCode,
    /// Human-readable description of the error. Images are counted from 1.
    #[schema(example = "Image 3: Exceeds 10MB limit")]
    pub(crate) message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FieldErrorCode {
    EmailRequired,
    EmailInvalid,
    CommentsInvalid,
    CommentsTooLong,
    ConsentRequired,
    ConsentVersionInvalid,
    ConsentVersionNotCurrent,
    ImagesRequired,
    ImagesInvalid,
    TooManyImages,
    ImageTypeNotAllowed,
    ImageTooLarge,
    ImageEmpty,
    ImageDataInvalid,
    FileIdNotSupported,
    ImageNotAnImage,
    ImageTooManyPixels,
    FieldMissing,
    FieldUnknown,
    FieldInvalid,
    Repeated,
    UnknownParameter,
    ParameterInvalid,
    StatusInvalid,
    TimeInvalid,
    TimeInThePast,
    ErrorCodeInvalid,
    DeletedInvalid,
    FormatInvalid,
    PageInvalid,
    PerPageInvalid,
    SortInvalid,
    PageAndCursor,
    NumberInvalid,
    FlagInvalid,
    ExpectedRequired,
    NameRequired,
    NameTooLong,
    NameInvalid,
    RoleRequired,
    RoleInvalid,
    PasswordRequired,
    PasswordForbidden,
    PasswordTooShort,
    PasswordTooLong,
    PasswordTooCommon,
    PasswordWrong,
    PasswordUnchanged,
}
