//! What staff do to submissions and their e-mails, and the history that they look at before.

pub(super) mod cancel;
pub(super) mod history;
pub(super) mod resend;
pub(super) mod retry;
pub(super) mod retry_all;

use serde::Serialize;
use utoipa::ToSchema;

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
