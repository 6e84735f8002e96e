//! Validates a draft and reports all errors at once, in the order of the form's fields.

use crate::error::ApiError;
use crate::error::field_errors::FieldError;
use crate::extract::line_breaks::normalize_line_breaks;
use crate::intake::draft::{Draft, DraftImages, DraftValue, MAX_IMAGES};
use crate::intake::image;
use crate::intake::valid_submission::ValidSubmission;
use crate::intake::validation_errors::{Limits, MAX_COMMENTS, SubmissionError};
use diagflow_store::EmailAddress;

/// `current` is the current consent version. If the only error is another version, the draft is not rejected here: see
/// [`ValidSubmission::outdated`]. Decodes base64 and reads all images, so it must run on a blocking thread.
pub(crate) fn validate(
    draft: Draft<'_>,
    limits: Limits,
    current: &str,
) -> Result<ValidSubmission, ApiError> {
    let email = email(&draft.email, limits);
    let consent =
        if draft.consent.is_true() { Ok(()) } else { Err(SubmissionError::ConsentRequired) };
    let consent_version = consent_version(&draft.consent_version, current);
    let comments = comments(draft.comments);

    let mut field_errors = Vec::new();
    field_errors.extend(email.as_ref().err().map(|error| error.field_error(limits)));
    field_errors.extend(consent.as_ref().err().map(|error| error.field_error(limits)));
    field_errors.extend(consent_version.as_ref().err().map(|error| error.field_error(limits)));
    field_errors.extend(comments.as_ref().err().map(|error| error.field_error(limits)));
    let no_images = draft.images.count == 0;
    let images = images(draft.images, limits, &mut field_errors);
    // Other unknown fields are ignored. They explain only why there are no images.
    let unknown = draft.unknown.iter().filter(|field| field.holds_file || no_images);
    let unknown = unknown.map(|field| SubmissionError::UnknownField { name: &field.name });
    field_errors.extend(unknown.map(|error| error.field_error(limits)));
    let outdated = match &consent_version {
        Err(SubmissionError::ConsentVersionNotCurrent { .. }) if field_errors.len() == 1 => {
            field_errors.pop()
        }
        _ => None,
    };
    match (email, comments) {
        (Ok(email), Ok(comments)) if field_errors.is_empty() => {
            let consent_version = draft.consent_version.text().map(str::to_owned);
            Ok(ValidSubmission { email, comments, consent_version, outdated, images })
        }
        _ => Err(ApiError::InvalidSubmission(field_errors)),
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
        // No text needs NUL, and many programs stop reading at it.
        DraftValue::Text(text) if text.contains('\0') => Err(SubmissionError::CommentsInvalid),
        DraftValue::Text(text) => match normalize_line_breaks(&text) {
            text if text.chars().count() > MAX_COMMENTS => Err(SubmissionError::CommentsTooLong),
            text => Ok(text.into_owned()),
        },
        DraftValue::Flag(_) | DraftValue::Other => Err(SubmissionError::CommentsInvalid),
    }
}

/// Consent to another text is not consent to the current one.
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

fn images(
    images: DraftImages<'_>,
    limits: Limits,
    field_errors: &mut Vec<FieldError>,
) -> Vec<crate::intake::valid_submission::ValidImage> {
    if images.not_a_list {
        field_errors.push(SubmissionError::ImagesInvalid.field_error(limits));
    } else if images.count == 0 {
        field_errors.push(SubmissionError::ImagesRequired.field_error(limits));
    }
    let max = limits.files.min(MAX_IMAGES);
    if images.count > max {
        field_errors.push(SubmissionError::TooManyImages.field_error(limits));
    }
    let mut submission = Vec::new();
    for (index, image) in images.list.into_iter().take(max).enumerate() {
        match image::check(image, index, limits) {
            Ok(image) => submission.push(image),
            Err(error) => field_errors.push(error.field_error(index, limits)),
        }
    }
    submission
}
