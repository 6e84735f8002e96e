use diagflow_store::truncated;
use serde::Serialize;
use temporalio_common::protos::temporal::api::enums::v1::TimeoutType;
use temporalio_common::protos::temporal::api::failure::v1::Failure;
use temporalio_common::protos::temporal::api::failure::v1::failure::FailureInfo;
use utoipa::ToSchema;

const MAX_MESSAGE_LENGTH: usize = 500;

/// A failure in a workflow history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FailureBody {
    /// Stable error code, or the Temporal failure type.
    #[serde(rename = "type")]
    #[schema(example = "loopai_unavailable")]
    pub(crate) kind: String,
    /// Error message, truncated to 500 characters.
    pub(crate) message: String,
}

impl FailureBody {
    /// For an activity failure, describes the cause, because the failure itself only states that an activity failed.
    pub(crate) fn of(failure: &Failure) -> FailureBody {
        if let (Some(FailureInfo::ActivityFailureInfo(_)), Some(cause)) =
            (&failure.failure_info, &failure.cause)
        {
            return Self::of(cause);
        }
        let kind = match &failure.failure_info {
            Some(FailureInfo::ApplicationFailureInfo(info)) => info.r#type.clone(),
            Some(FailureInfo::TimeoutFailureInfo(info)) => {
                TimeoutType::try_from(info.timeout_type).unwrap_or_default().as_str_name().into()
            }
            Some(FailureInfo::CanceledFailureInfo(_)) => "cancelled".into(),
            Some(FailureInfo::TerminatedFailureInfo(_)) => "terminated".into(),
            Some(FailureInfo::ServerFailureInfo(_)) => "temporal_server".into(),
            Some(FailureInfo::ResetWorkflowFailureInfo(_)) => "reset".into(),
            _ => "failure".into(),
        };
        FailureBody { kind, message: truncated(&failure.message, MAX_MESSAGE_LENGTH) }
    }
}
