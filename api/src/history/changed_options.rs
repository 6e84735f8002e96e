use serde::Serialize;
use std::time::Duration;
use temporalio_common::protos::temporal::api::common::v1::RetryPolicy;
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflow::v1::PendingActivityInfo;
use utoipa::ToSchema;

/// Current timeouts and retry policy of an activity, if they were changed in Temporal.
#[derive(Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChangedOptions {
    /// Maximum time from scheduling the activity to its end in seconds, including all attempts. `null` if there is no
    /// limit.
    #[schema(required, example = 7200)]
    schedule_to_close_seconds: Option<f64>,
    /// Maximum time that an attempt waits for a worker in seconds. `null` if there is no limit.
    #[schema(required)]
    schedule_to_start_seconds: Option<f64>,
    /// Maximum duration of an attempt in seconds. `null` if there is no limit.
    #[schema(required, example = 45)]
    start_to_close_seconds: Option<f64>,
    /// Time before the first retry in seconds.
    #[schema(required, example = 2)]
    initial_interval_seconds: Option<f64>,
    /// Factor by which the time between attempts grows.
    #[schema(required, example = 2)]
    backoff_coefficient: Option<f64>,
    /// Maximum time between attempts in seconds.
    #[schema(required, example = 60)]
    maximum_interval_seconds: Option<f64>,
    /// Maximum number of attempts. `null` if there is no limit.
    #[schema(required)]
    maximum_attempts: Option<i32>,
}

impl ChangedOptions {
    /// Compares the current options with those in the history. Returns `None` if they are the same, or if Temporal does
    /// not return the current options.
    pub(super) fn of(
        activity: &PendingActivityInfo,
        events: &[HistoryEvent],
    ) -> Option<ChangedOptions> {
        let current = activity.activity_options.as_ref()?;
        let current = ChangedOptions {
            schedule_to_close_seconds: seconds(current.schedule_to_close_timeout),
            schedule_to_start_seconds: seconds(current.schedule_to_start_timeout),
            start_to_close_seconds: seconds(current.start_to_close_timeout),
            ..Self::with_retry_policy(current.retry_policy.as_ref())
        };
        let scheduled =
            events.iter().rev().find_map(|event| match event.attributes.as_ref()? {
                Attributes::ActivityTaskScheduledEventAttributes(scheduled)
                    if scheduled.activity_id == activity.activity_id =>
                {
                    Some(scheduled)
                }
                _ => None,
            })?;
        let original = ChangedOptions {
            schedule_to_close_seconds: seconds(scheduled.schedule_to_close_timeout),
            schedule_to_start_seconds: seconds(scheduled.schedule_to_start_timeout),
            start_to_close_seconds: seconds(scheduled.start_to_close_timeout),
            ..Self::with_retry_policy(scheduled.retry_policy.as_ref())
        };
        (current != original).then_some(current)
    }

    fn with_retry_policy(policy: Option<&RetryPolicy>) -> ChangedOptions {
        let Some(policy) = policy else { return ChangedOptions::default() };
        ChangedOptions {
            initial_interval_seconds: seconds(policy.initial_interval),
            backoff_coefficient: Some(policy.backoff_coefficient),
            maximum_interval_seconds: seconds(policy.maximum_interval),
            maximum_attempts: Some(policy.maximum_attempts).filter(|attempts| *attempts > 0),
            ..ChangedOptions::default()
        }
    }
}

/// Returns `None` for zero, because both mean that there is no limit.
fn seconds<D>(duration: Option<D>) -> Option<f64>
where
    Duration: TryFrom<D>,
{
    let duration = Duration::try_from(duration?).ok()?;
    (!duration.is_zero()).then_some(duration.as_secs_f64())
}
