//! Checks a draft: everything that is wrong is said at once, in the order of the form.

use crate::error::ApiError;
use crate::error::faults::Fault;
use crate::intake::accepted::Accepted;
use crate::intake::draft::{Draft, DraftImages, Given, MOST_IMAGES};
use crate::intake::faults::{Limits, MAX_COMMENTS, Wrong};
use crate::intake::image;
use diagflow_store::EmailAddress;

/// Checks a draft, whose consent must be to the text `current`; if nothing but that is wrong, it is accepted
/// with that fault. Decodes base64 and reads through images: not for the threads that serve requests.
///
/// # Errors
/// [`ApiError::InvalidSubmission`] with everything that is wrong.
pub(crate) fn validate(
    draft: Draft<'_>,
    limits: Limits,
    current: &str,
) -> Result<Accepted, ApiError> {
    let email = email(&draft.email);
    let consent = if draft.consent.is_yes() { Ok(()) } else { Err(Wrong::ConsentRequired) };
    let consent_version = consent_version(&draft.consent_version, current);
    let comments = comments(draft.comments);

    let mut faults = Vec::new();
    faults.extend(email.as_ref().err().map(|wrong| wrong.fault(limits)));
    faults.extend(consent.as_ref().err().map(|wrong| wrong.fault(limits)));
    faults.extend(consent_version.as_ref().err().map(|wrong| wrong.fault(limits)));
    faults.extend(comments.as_ref().err().map(|wrong| wrong.fault(limits)));
    let images = images(draft.images, limits, &mut faults);
    let outdated = match &consent_version {
        Err(Wrong::ConsentVersionNotCurrent { .. }) if faults.len() == 1 => faults.pop(),
        _ => None,
    };
    match (email, comments) {
        (Ok(email), Ok(comments)) if faults.is_empty() => {
            let consent_version = draft.consent_version.text().map(str::to_owned);
            Ok(Accepted { email, comments, consent_version, outdated, images })
        }
        _ => Err(ApiError::InvalidSubmission(faults)),
    }
}

fn email(given: &Given<'_>) -> Result<EmailAddress, Wrong<'static>> {
    match given {
        Given::Flag(_) | Given::Other => Err(Wrong::EmailInvalid),
        _ => {
            let text = given.text().ok_or(Wrong::EmailRequired)?;
            text.parse().map_err(|_| Wrong::EmailInvalid)
        }
    }
}

fn comments(given: Given<'_>) -> Result<String, Wrong<'static>> {
    match given {
        Given::Missing => Ok(String::new()),
        Given::Text(text) if text.chars().count() > MAX_COMMENTS => Err(Wrong::CommentsTooLong),
        // No language writes with it, and text files, logs and C libraries end at it.
        Given::Text(text) if text.contains('\0') => Err(Wrong::CommentsInvalid),
        // Forms write line breaks in their own way; the text is the same.
        Given::Text(text) => Ok(text.replace("\r\n", "\n")),
        Given::Flag(_) | Given::Other => Err(Wrong::CommentsInvalid),
    }
}

/// Who agreed to another text has not agreed to what is done now, and must be shown the current one.
fn consent_version<'a>(given: &Given<'_>, current: &'a str) -> Result<(), Wrong<'a>> {
    match given {
        Given::Missing => Ok(()),
        Given::Text(text) if text == current => Ok(()),
        Given::Text(_) => Err(Wrong::ConsentVersionNotCurrent { current }),
        Given::Flag(_) | Given::Other => Err(Wrong::ConsentVersionInvalid),
    }
}

fn images(
    images: DraftImages<'_>,
    limits: Limits,
    faults: &mut Vec<Fault>,
) -> Vec<crate::intake::accepted::AcceptedImage> {
    if images.not_a_list {
        faults.push(Wrong::ImagesInvalid.fault(limits));
    } else if images.count == 0 {
        faults.push(Wrong::ImagesRequired.fault(limits));
    }
    let most = limits.files.min(MOST_IMAGES);
    if images.count > most {
        faults.push(Wrong::TooManyImages.fault(limits));
    }
    let mut accepted = Vec::new();
    for (index, image) in images.list.into_iter().take(most).enumerate() {
        match image::check(image, index, limits) {
            Ok(image) => accepted.push(image),
            Err(wrong) => faults.extend(wrong.iter().map(|wrong| wrong.fault(index, limits))),
        }
    }
    accepted
}
