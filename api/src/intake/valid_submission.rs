use crate::error::field_errors::SubmissionFieldError;
use bytes::Bytes;
use diagflow_store::{EmailAddress, NewFile, Sha256};

#[derive(Debug)]
pub(crate) struct ValidSubmission {
    pub(crate) email: EmailAddress,
    pub(crate) comments: String,
    /// The consent version in the request, if any.
    pub(crate) consent_version: Option<String>,
    /// The error for an outdated consent version. A submission with this error is not stored. However, if the
    /// submission was stored before the version became outdated, a repeated request gets the original response.
    pub(crate) outdated: Option<SubmissionFieldError>,
    pub(crate) images: Vec<ValidImage>,
}

#[derive(Debug)]
pub(crate) struct ValidImage {
    pub(crate) record: NewFile,
    pub(crate) bytes: Bytes,
}

impl ValidSubmission {
    /// Digest of the content, which is the same for JSON and multipart. The digest includes the consent version as
    /// sent, so a repeated request has the same digest even if the default version has changed since then.
    pub(crate) fn digest(&self) -> Sha256 {
        let images: Vec<_> = self
            .images
            .iter()
            .map(|ValidImage { record, .. }| {
                (&record.name, &record.media_type, record.sha256.to_string())
            })
            .collect();
        let version = self.consent_version.as_deref();
        // JSON is an unambiguous encoding, so different submissions have different JSON texts.
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
