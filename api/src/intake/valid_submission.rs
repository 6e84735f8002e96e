//! A submission that passed the validation.

use crate::error::field_errors::FieldError;
use bytes::Bytes;
use diagflow_store::{EmailAddress, NewFile, Sha256};

#[derive(Debug)]
pub(crate) struct ValidSubmission {
    pub(crate) email: EmailAddress,
    pub(crate) comments: String,
    /// The version that the sender named, if any.
    pub(crate) consent_version: Option<String>,
    /// The error, if that version is not current (any more). Such a submission is not stored, but a repeat of one
    /// that was stored before gets the first response.
    pub(crate) outdated: Option<FieldError>,
    pub(crate) images: Vec<ValidImage>,
}

#[derive(Debug)]
pub(crate) struct ValidImage {
    pub(crate) record: NewFile,
    pub(crate) bytes: Bytes,
}

impl ValidSubmission {
    /// Digest of the content. It is the same for JSON and multipart. The consent version counts as it was sent,
    /// so a repeat has the same digest even if the default version changed in between.
    pub(crate) fn digest(&self) -> Sha256 {
        let images: Vec<_> = self
            .images
            .iter()
            .map(|ValidImage { record, .. }| {
                (&record.name, &record.media_type, record.sha256.to_string())
            })
            .collect();
        let version = self.consent_version.as_deref();
        // JSON is unambiguous: different submissions have different texts.
        let canonical = serde_json::json!([
            "diagflow submission v1",
            self.email.as_str(),
            self.comments,
            version,
            images
        ]);
        Sha256::of(canonical.to_string().as_bytes())
    }
}
