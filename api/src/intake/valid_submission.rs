//! A submission that was checked and may be stored.

use crate::error::field_errors::FieldError;
use bytes::Bytes;
use diagflow_store::{EmailAddress, NewFile, Sha256};

/// A submission that was checked.
#[derive(Debug)]
pub(crate) struct ValidSubmission {
    pub(crate) email: EmailAddress,
    pub(crate) comments: String,
    /// The consent text that the sender named, if it named one.
    pub(crate) consent_version: Option<String>,
    /// What is wrong with it, where that text is not the current one (any more): nothing may be stored then,
    /// but a repeat of what was stored before is answered like the first time.
    pub(crate) outdated: Option<FieldError>,
    pub(crate) images: Vec<ValidImage>,
}

/// An image that was checked.
#[derive(Debug)]
pub(crate) struct ValidImage {
    pub(crate) record: NewFile,
    pub(crate) bytes: Bytes,
}

impl ValidSubmission {
    /// Digest of what was sent, however it was sent: the same content as JSON and as multipart has
    /// the same digest. The consent version counts as it was sent, so that a repeat agrees with its
    /// first request even if our default changed in between.
    pub(crate) fn digest(&self) -> Sha256 {
        let images: Vec<_> = self
            .images
            .iter()
            .map(|ValidImage { record, .. }| {
                (&record.name, &record.media_type, record.sha256.to_string())
            })
            .collect();
        let version = self.consent_version.as_deref();
        // JSON, because in it no two different submissions are written alike.
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
