//! Reasons for refusing a file.

use crate::other_kinds::OtherKind;

/// Reason for refusing a file. The message is written for the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("{0}")]
    OtherKind(OtherKind),
    #[error(
        "This kind of JPEG is not supported. Open the photo on your device, take a screenshot of it and send the \
         screenshot."
    )]
    UnsupportedJpeg,
    #[error(
        "The photo is too wide or too high. Choose a smaller photo, or send a screenshot of it."
    )]
    TooLarge,
    #[error("The photo is damaged or incomplete. Please send it again, or take a new one.")]
    Damaged,
}
