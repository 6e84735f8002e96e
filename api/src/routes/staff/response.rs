use serde::Serialize;
use utoipa::ToSchema;

/// The outcome of a staff action.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StaffActionResponse {
    /// Always `true`.
    #[schema(example = true)]
    pub(super) success: bool,
    /// Id of the submission.
    #[schema(format = "uuid")]
    pub(super) submission_id: String,
    /// `cancelling`, `cancelled`, `queued` or `in_progress`.
    #[schema(example = "queued")]
    pub(super) outcome: &'static str,
    /// Number of the affected run within the submission.
    pub(super) run: Option<i32>,
}
