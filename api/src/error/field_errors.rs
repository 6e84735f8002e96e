//! Field errors.

use serde::Serialize;
use strum::{EnumIter, IntoStaticStr};
use utoipa::ToSchema;

/// Maximum number of field errors in a response. A body can contain thousands of invalid fields.
pub(crate) const MAX_FIELD_ERRORS: usize = 20;

/// An error in one field of a submission, request body or query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Name of the field. Image numbers start at 0: `images[2]` is the third image.
    #[schema(example = "images[2]")]
    pub(crate) field: String,
    /// Stable error code.
    pub(crate) code: FieldErrorCode,
    /// Human-readable description of the error. Image numbers start at 1.
    #[schema(example = "Image 3: Exceeds 10MB limit")]
    pub(crate) message: String,
}

/// A field error of a submission. Pages show it in the language of the patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubmissionFieldError {
    pub(crate) error: FieldError,
    /// The variables of the text in the catalogues.
    pub(crate) values: Vec<(&'static str, String)>,
}

/// Stable code of a field error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, EnumIter, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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
    EmailStateInvalid,
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
