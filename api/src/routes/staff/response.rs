use serde::Serialize;
use utoipa::ToSchema;

/// Outcome of a staff action.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StaffActionOutcome {
    Cancelling,
    Cancelled,
    Queued,
    InProgress,
}

/// The response to a staff action.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StaffActionResponse {
    /// Always `true`.
    #[schema(example = true)]
    pub(super) success: bool,
    /// Id of the submission.
    #[schema(format = "uuid")]
    pub(super) submission_id: String,
    /// Outcome of the action.
    pub(super) outcome: StaffActionOutcome,
    /// Number of the affected run within the submission.
    #[schema(required)]
    pub(super) run: Option<i32>,
}
