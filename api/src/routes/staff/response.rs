//! What staff are told that did something to a submission.

use serde::Serialize;
use utoipa::ToSchema;

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StaffActionResponse {
    /// Always `true`.
    #[schema(example = true)]
    pub(super) success: bool,
    /// The submission.
    #[schema(format = "uuid")]
    pub(super) submission_id: String,
    /// `cancelling`, `cancelled`, `queued` or `in_progress`.
    #[schema(example = "queued")]
    pub(super) outcome: &'static str,
    /// The run that it is about, by its number within the submission.
    pub(super) run: Option<i32>,
}
