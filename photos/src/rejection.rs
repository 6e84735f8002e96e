//! Why a file is not accepted.

use crate::other_kinds::OtherKind;

/// The message is for the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("{0}")]
    OtherKind(OtherKind),
    #[error(
        "This kind of JPEG is not supported. Open the photo on your device, take a screenshot of it and send the \
         screenshot."
    )]
    UnsupportedJpeg,
    #[error("The photo is damaged or incomplete. Please send it again, or take a new one.")]
    Damaged,
}
