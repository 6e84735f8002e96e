//! Errors of the form in the language of the page.

use crate::error::field_errors::{MAX_FIELD_ERRORS, SubmissionFieldError};
use crate::error::{ApiError, ErrorCode};
use diagflow_locales::Language;

/// An error as shown in the summary, and beside its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownError {
    /// Id of the field, or an empty string if the error does not concern a field.
    pub(crate) target: &'static str,
    pub(crate) text: String,
}

/// The fields in the order of the page.
const TARGETS: [&str; 4] = ["email", "comments", "images", "consent"];

/// Returns the errors in the order of the page's fields.
pub(super) fn shown_errors(language: Language, error: &ApiError) -> Vec<ShownError> {
    let ApiError::InvalidSubmission(errors) = error else {
        return vec![ShownError { target: "", text: problem(language, ErrorCode::from(error)) }];
    };
    let mut shown: Vec<_> = errors
        .iter()
        .take(MAX_FIELD_ERRORS)
        .map(|error| ShownError { target: target(error), text: text(language, error) })
        .collect();
    shown.sort_by_key(|error| TARGETS.iter().position(|target| *target == error.target));
    shown
}

fn target(error: &SubmissionFieldError) -> &'static str {
    match error.error.field.as_str() {
        "email" => "email",
        "comments" => "comments",
        "consent" | "consent_version" => "consent",
        // Photos, also those in unknown fields.
        _ => "images",
    }
}

fn text(language: Language, error: &SubmissionFieldError) -> String {
    let code: &'static str = error.error.code.into();
    let text = language.text_for("submit-error", code);
    let text = text.map(|text| {
        let values = error.values.iter();
        values.fold(text, |text, (name, value)| text.arg(name, value.clone()))
    });
    text.map_or_else(|| error.error.message.clone(), String::from)
}

/// Returns the text for a request that was not rejected because of one of its fields.
fn problem(language: Language, code: ErrorCode) -> String {
    let text = language.text_for("submit-problem", code.as_str());
    text.unwrap_or_else(|| language.text("submit-problem-internal")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::field_errors::FieldErrorCode;
    use crate::extract::body::READ_ERRORS;
    use crate::intake::receive::RECEIVE_ERRORS;
    use crate::intake::store::STORE_ERRORS;
    use crate::intake::validation_errors::{ImageError, Limits, SubmissionError};
    use diagflow_photos::{OtherKind, Rejection};
    use std::collections::HashSet;
    use strum::EnumCount;

    const LIMITS: Limits = Limits { file_size: 10 << 20, files: 10, smtputf8: false };

    const KINDS: [OtherKind; 10] = [
        OtherKind::Heic,
        OtherKind::Avif,
        OtherKind::JpegXl,
        OtherKind::Gif,
        OtherKind::Svg,
        OtherKind::OtherImage,
        OtherKind::Pdf,
        OtherKind::Video,
        OtherKind::WebPage,
        OtherKind::Unknown,
    ];

    /// Codes that browsers cannot cause, because the page sends a valid request. Their text is that of `internal`.
    const NOT_FROM_BROWSERS: [ErrorCode; 5] = [
        ErrorCode::InvalidSubmission,
        ErrorCode::InvalidJson,
        ErrorCode::UnsupportedMediaType,
        ErrorCode::InvalidGzip,
        ErrorCode::UnsupportedContentEncoding,
    ];

    fn submission_errors() -> Vec<SubmissionFieldError> {
        let errors = [
            SubmissionError::EmailRequired,
            SubmissionError::EmailInvalid,
            SubmissionError::EmailNotSupported,
            SubmissionError::CommentsInvalid,
            SubmissionError::CommentsTooLong,
            SubmissionError::ConsentRequired,
            SubmissionError::ConsentVersionInvalid,
            SubmissionError::ConsentVersionNotCurrent { current: "2026-11" },
            SubmissionError::ImagesRequired,
            SubmissionError::ImagesInvalid,
            SubmissionError::TooManyImages { max: 10 },
            SubmissionError::UnknownField { name: "photo" },
        ];
        assert_eq!(errors.len(), SubmissionError::COUNT);
        errors.map(SubmissionError::field_error).into()
    }

    fn image_errors() -> Vec<SubmissionFieldError> {
        let others = [
            ImageError::TooLarge,
            ImageError::Empty,
            ImageError::DataInvalid,
            ImageError::FileIdNotSupported,
            ImageError::TooManyPixels { max: 1 },
        ];
        assert_eq!(others.len() + 1, ImageError::COUNT);
        let rejections = [Rejection::UnsupportedJpeg, Rejection::TooLarge, Rejection::Damaged];
        let kinds = KINDS.map(Rejection::OtherKind);
        let rejected = rejections.into_iter().chain(kinds).map(ImageError::Rejected);
        others.into_iter().chain(rejected).map(|error| error.field_error(2, LIMITS)).collect()
    }

    #[test]
    fn every_error_of_a_field_has_a_text_in_every_language() {
        for language in Language::ALL {
            for error in submission_errors().into_iter().chain(image_errors()) {
                let code: &'static str = error.error.code.into();
                assert!(language.text_for("submit-error", code).is_some(), "{language}: {code}");
                let shown = text(*language, &error);
                let is_image = error.error.field == "images[2]";
                assert_eq!(is_image, shown.contains(" 3 "), "{shown}");
            }
        }
    }

    #[test]
    fn every_kind_of_file_has_its_own_advice() {
        for language in Language::ALL {
            let errors = image_errors();
            let kinds = errors
                .iter()
                .filter(|error| error.error.code == FieldErrorCode::ImageTypeNotAllowed);
            let texts: Vec<_> = kinds.map(|error| text(*language, error)).collect();
            let distinct: HashSet<_> = texts.iter().collect();
            assert_eq!((texts.len(), distinct.len()), (KINDS.len() + 1, KINDS.len() + 1));
        }
    }

    #[test]
    fn every_other_error_has_a_text_in_every_language() {
        let others = [ErrorCode::TooManyRequests, ErrorCode::InvalidIdempotencyKey];
        let codes = READ_ERRORS.into_iter().chain(RECEIVE_ERRORS).chain(STORE_ERRORS).chain(others);
        for code in codes.filter(|code| !NOT_FROM_BROWSERS.contains(code)) {
            for language in Language::ALL {
                let text = language.text_for("submit-problem", code.as_str());
                assert!(text.is_some(), "{language}: {code}");
            }
        }
    }

    #[test]
    fn errors_are_in_the_order_of_the_fields() {
        let error = ApiError::InvalidSubmission(submission_errors());
        let shown = shown_errors(Language::English, &error);
        let mut targets: Vec<_> = shown.iter().map(|error| error.target).collect();
        targets.dedup();
        assert_eq!(targets, TARGETS);
    }
}
