//! What staff do to submissions and their e-mails, and the history that they look at before.

pub(super) mod cancel;
pub(super) mod history;
pub(super) mod resend;
pub(super) mod retry;
pub(super) mod retry_all;

use crate::error::{ApiError, ApiResult};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest reason that is written down, in characters.
const LONGEST_REASON: usize = 500;

/// Why something is done.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Why {
    /// In 1 to 500 characters. It goes into the audit: no medical words, please.
    #[schema(example = "LoopAI was down at noon", min_length = 1, max_length = 500)]
    reason: Option<String>,
}

impl Why {
    /// The reason, once it is one.
    fn reason(self) -> ApiResult<String> {
        reason(self.reason)
    }
}

fn reason(given: Option<String>) -> ApiResult<String> {
    let reason = given.unwrap_or_default().trim().to_owned();
    match reason.chars().count() {
        1..=LONGEST_REASON => Ok(reason),
        _ => Err(ApiError::ReasonRequired),
    }
}

/// What an id in a path names; nothing where it is none.
fn named<T: std::str::FromStr>(id: &str) -> ApiResult<T> {
    id.parse().map_err(|_| ApiError::NotFound)
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Moved {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The submission.
    #[schema(format = "uuid")]
    submission_id: String,
    /// `cancelling`, `cancelled`, `queued` or `under_way`.
    #[schema(example = "queued")]
    outcome: &'static str,
    /// The run that it is about, by its number within the submission.
    run: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_words_and_not_too_many() {
        assert_eq!(reason(Some(" because ".into())).expect("a reason"), "because");
        assert!(reason(Some("ß".repeat(LONGEST_REASON))).is_ok());
        for bad in [None, Some(String::new()), Some(" \n".into()), Some("x".repeat(501))] {
            assert!(matches!(reason(bad.clone()), Err(ApiError::ReasonRequired)), "{bad:?}");
        }
    }
}
