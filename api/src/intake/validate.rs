//! Validates a draft and reports all errors at once, in the order of the form's fields.

use crate::error::field_errors::SubmissionFieldError;
use crate::error::{ApiError, ApiResult};
use crate::extract::line_breaks::normalize_line_breaks;
use crate::intake::draft::{Draft, DraftImages, DraftValue, MAX_IMAGES};
use crate::intake::image::Photo;
use crate::intake::photo_checks::PhotoChecks;
use crate::intake::valid_submission::ValidSubmission;
use crate::intake::validation_errors::{Limits, MAX_COMMENTS, SubmissionError};
use diagflow_store::EmailAddress;
use std::net::IpAddr;

/// A draft whose fields have been validated. The pixels of its photos have not been checked yet.
pub(crate) struct ValidatedDraft {
    email: Option<EmailAddress>,
    comments: Option<String>,
    consent_version: Option<String>,
    is_outdated: bool,
    photos: Vec<Result<Photo, SubmissionFieldError>>,
    /// Errors in the image list and in the fields before it, in the order of the form.
    errors_before: Vec<SubmissionFieldError>,
    /// Errors for unknown fields.
    errors_after: Vec<SubmissionFieldError>,
    limits: Limits,
}

/// Validates everything except the pixels of the photos. `current` is the current consent version. This function
/// decodes base64, so it must run on a blocking thread.
pub(crate) fn validate(draft: Draft<'_>, limits: Limits, current: &str) -> ValidatedDraft {
    let email = email(&draft.email, limits);
    let consent =
        if draft.consent.is_true() { Ok(()) } else { Err(SubmissionError::ConsentRequired) };
    let consent_version = consent_version(&draft.consent_version, current);
    let comments = comments(draft.comments);

    let mut errors_before = Vec::new();
    errors_before.extend(email.as_ref().err().map(|error| error.field_error()));
    errors_before.extend(consent.as_ref().err().map(|error| error.field_error()));
    errors_before.extend(consent_version.as_ref().err().map(|error| error.field_error()));
    errors_before.extend(comments.as_ref().err().map(|error| error.field_error()));
    let no_images = draft.images.count == 0;
    errors_before.extend(list_errors(&draft.images, limits));
    // An unknown field without a file is reported only if there are no images, because the field may explain why they
    // are missing.
    let unknown = draft.unknown.iter().filter(|field| field.holds_file || no_images);
    let unknown = unknown.map(|field| SubmissionError::UnknownField { name: &field.name });
    let errors_after = unknown.map(SubmissionError::field_error).collect();
    ValidatedDraft {
        email: email.ok(),
        comments: comments.ok(),
        consent_version: draft.consent_version.text().map(str::to_owned),
        is_outdated: matches!(
            consent_version,
            Err(SubmissionError::ConsentVersionNotCurrent { .. })
        ),
        photos: open(draft.images, limits),
        errors_before,
        errors_after,
        limits,
    }
}

impl ValidatedDraft {
    /// Checks the photos, unless another field has an error, because checking photos takes a lot of CPU time. If the
    /// only error is an outdated consent version, the draft is not rejected here: see [`ValidSubmission::outdated`].
    pub(crate) async fn check_photos(
        self,
        checks: &PhotoChecks,
        client: IpAddr,
    ) -> ApiResult<ValidSubmission> {
        let only_outdated = self.is_outdated && self.errors_before.len() == 1;
        let is_valid =
            (self.errors_before.is_empty() || only_outdated) && self.errors_after.is_empty();
        let mut errors = self.errors_before;
        let mut images = Vec::new();
        for (index, photo) in self.photos.into_iter().enumerate() {
            match photo {
                Ok(photo) if is_valid => match checks.check(client, photo).await? {
                    Ok(image) => images.push(image),
                    Err(error) => errors.push(error.field_error(index, self.limits)),
                },
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        errors.extend(self.errors_after);
        let outdated = if only_outdated && errors.len() == 1 { errors.pop() } else { None };
        match (self.email, self.comments) {
            (Some(email), Some(comments)) if errors.is_empty() => {
                let consent_version = self.consent_version;
                Ok(ValidSubmission { email, comments, consent_version, outdated, images })
            }
            _ => Err(ApiError::InvalidSubmission(errors)),
        }
    }
}

fn email(value: &DraftValue<'_>, limits: Limits) -> Result<EmailAddress, SubmissionError<'static>> {
    match value {
        DraftValue::Flag(_) | DraftValue::Other => Err(SubmissionError::EmailInvalid),
        _ => {
            let text = value.text().ok_or(SubmissionError::EmailRequired)?;
            let email: EmailAddress = text.parse().map_err(|_| SubmissionError::EmailInvalid)?;
            if email.needs_smtputf8() && !limits.smtputf8 {
                return Err(SubmissionError::EmailNotSupported);
            }
            Ok(email)
        }
    }
}

fn comments(value: DraftValue<'_>) -> Result<String, SubmissionError<'static>> {
    match value {
        DraftValue::Missing => Ok(String::new()),
        // No comment needs a NUL character, and many programs treat the first NUL as the end of the text.
        DraftValue::Text(text) if text.contains('\0') => Err(SubmissionError::CommentsInvalid),
        DraftValue::Text(text) => match normalize_line_breaks(&text) {
            text if text.chars().count() > MAX_COMMENTS => Err(SubmissionError::CommentsTooLong),
            text => Ok(text.into_owned()),
        },
        DraftValue::Flag(_) | DraftValue::Other => Err(SubmissionError::CommentsInvalid),
    }
}

/// Accepts only the current version, because consent to a different text is not consent to the current one.
fn consent_version<'a>(
    value: &DraftValue<'_>,
    current: &'a str,
) -> Result<(), SubmissionError<'a>> {
    match value {
        DraftValue::Missing => Ok(()),
        DraftValue::Text(text) if text == current => Ok(()),
        DraftValue::Text(_) => Err(SubmissionError::ConsentVersionNotCurrent { current }),
        DraftValue::Flag(_) | DraftValue::Other => Err(SubmissionError::ConsentVersionInvalid),
    }
}

fn list_errors(images: &DraftImages<'_>, limits: Limits) -> Vec<SubmissionFieldError> {
    let mut errors = Vec::new();
    if images.not_a_list {
        errors.push(SubmissionError::ImagesInvalid);
    } else if images.count == 0 {
        errors.push(SubmissionError::ImagesRequired);
    }
    if images.count > max_images(limits) {
        errors.push(SubmissionError::TooManyImages { max: limits.files });
    }
    errors.into_iter().map(SubmissionError::field_error).collect()
}

fn max_images(limits: Limits) -> usize {
    limits.files.min(MAX_IMAGES)
}

fn open(images: DraftImages<'_>, limits: Limits) -> Vec<Result<Photo, SubmissionFieldError>> {
    let max = max_images(limits);
    // The content of images beyond the limit was discarded, so these images must stay at the end of the list.
    let in_order = if images.count > max { images.list } else { images.in_order() };
    let photos = in_order.into_iter().take(max).enumerate().map(|(index, image)| {
        Photo::open(image, index, limits).map_err(|error| error.field_error(index, limits))
    });
    photos.collect()
}
