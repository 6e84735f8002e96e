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
    pub(crate) code: FieldErrorCode,
    /// Human-readable description of the error. Images are counted from 1.
    #[schema(example = "Image 3: Exceeds 10MB limit")]
    pub(crate) message: String,
}

/// Stable code of an error in one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FieldErrorCode {
    EmailRequired,
    EmailInvalid,
    EmailNotSupported,
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
    ImageDamaged,
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
    AssigneeInvalid,
    DeletedInvalid,
    FormatInvalid,
    PageInvalid,
    PerPageInvalid,
    SortInvalid,
    PageAndCursor,
    NumberInvalid,
    FlagInvalid,
    ExpectedRequired,
    NoteTooLong,
    NoteInvalid,
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
