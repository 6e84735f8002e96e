use crate::app::AppState;
use crate::error::ApiResult;
use crate::openapi::names::{LoopAiBreakerState, SubmissionErrorCode, SubmissionStatus};
use crate::routes::operation::metrics::AFTER_DEADLINE;
use axum::Json;
use axum::extract::State;
use diagflow_store::{
    HourlyCount, LoopAiUsage, OldestWaiting, OutcomeCounts, SubmissionId, TimeToResult,
    UnsettledEmails, UtcTime,
};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Number of hours for which submissions are counted.
const HOURS: u16 = 48;
/// Maximum number of submissions that the times to a result are computed from.
const SAMPLE: i64 = 10_000;

/// Read the overview
///
/// Returns figures about the service for a dashboard. The response does not contain personal data.
#[utoipa::path(
    get,
    path = "/api/admin/overview",
    tag = "staff",
    responses((status = 200, description = "The figures.", body = OverviewBody)),
)]
pub(crate) async fn read_overview(State(state): State<AppState>) -> ApiResult<Json<OverviewBody>> {
    Ok(Json(OverviewBody::read(&state).await?))
}

/// Figures about the service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OverviewBody {
    /// Always `true`.
    #[schema(example = true)]
    pub(crate) success: bool,
    /// Submissions received in each of the last 48 hours, oldest first. The last entry is the current hour.
    pub(crate) submissions_per_hour: Vec<HourBody>,
    /// Number of submissions in each state, without deleted submissions.
    pub(crate) states: Vec<StateBody>,
    /// Outcomes of the submissions that ended within the last 24 hours.
    pub(crate) outcomes_last_day: OutcomesBody,
    /// Outcomes of the submissions that ended within the last 7 days.
    pub(crate) outcomes_last_week: OutcomesBody,
    /// Times to a result within the last 24 hours; `null` if there were no results.
    #[schema(required)]
    pub(crate) time_to_result: Option<TimeToResultBody>,
    /// The *pending* submission that has been waiting longest.
    #[schema(required)]
    pub(crate) oldest_waiting: Option<OldestWaitingBody>,
    /// Load on LoopAI.
    pub(crate) loopai: LoopAiBody,
    /// E-mails that may not have reached patients.
    pub(crate) emails: EmailsBody,
    /// Workers that poll the task queue; `null` if Temporal is unavailable.
    #[schema(required)]
    pub(crate) workers: Option<Vec<WorkerBody>>,
    /// Number of runs whose workflow task fails on every attempt.
    pub(crate) stuck: i64,
    /// Number of submissions still open 5 minutes after their deadline.
    pub(crate) overdue: i64,
}

/// Submissions received in an hour.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HourBody {
    /// Start of the hour.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) hour: UtcTime,
    /// Number of submissions, including deleted ones.
    pub(crate) received: i64,
}

/// Number of submissions in a state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateBody {
    /// State of the submissions.
    pub(crate) status: SubmissionStatus,
    /// Number of submissions.
    pub(crate) count: i64,
}

/// Outcomes of the submissions that ended within a time window. A retried submission counts once it has ended again.
/// Cancelled submissions are not included.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutcomesBody {
    /// Number of *completed* submissions.
    pub(crate) completed: i64,
    /// Number of *failed* and *timed_out* submissions.
    pub(crate) failed: i64,
    /// Share of *failed* and *timed_out* submissions, from 0 to 1; `null` if no submission ended.
    #[schema(required, minimum = 0, maximum = 1)]
    pub(crate) failure_rate: Option<f64>,
    /// Causes of the failures, most frequent first.
    pub(crate) causes: Vec<CauseBody>,
}

/// Failures with the same cause.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CauseBody {
    /// Error code of the submissions.
    #[schema(value_type = SubmissionErrorCode)]
    pub(crate) error_code: String,
    /// Number of submissions.
    pub(crate) count: i64,
    /// Share of all submissions that ended within the time window, from 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    pub(crate) rate: f64,
}

/// Times from the receipt of submissions to their results. Submissions that staff have retried are not included.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TimeToResultBody {
    /// Number of submissions that the times are computed from, at most the 10,000 newest.
    pub(crate) submissions: usize,
    /// Time within which half of the submissions were completed, in seconds.
    pub(crate) median_seconds: f64,
    /// Time within which 95% of the submissions were completed, in seconds.
    pub(crate) p95_seconds: f64,
}

/// A submission that LoopAI has not accepted yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OldestWaitingBody {
    /// Id of the submission.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) submission_id: SubmissionId,
    /// Time at which the submission was received or last retried.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) since: UtcTime,
    /// Time at which the submission times out; `null` if its run has not started yet.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) deadline_at: Option<UtcTime>,
}

/// Load on LoopAI.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoopAiBody {
    /// Number of runs that hold a slot.
    pub(crate) running: i64,
    /// Number of executions started within the last hour.
    pub(crate) last_hour: i64,
    /// Number of runs in the queue.
    pub(crate) waiting: i64,
    /// Number of runs that fail at LoopAI even though it accepts other requests.
    pub(crate) failing: i64,
    /// State of the circuit breaker.
    pub(crate) breaker: LoopAiBreakerState,
}

/// E-mails that may not have reached patients.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmailsBody {
    /// Number of submissions whose latest e-mail was planned more than an hour ago and has not been sent.
    pub(crate) overdue: i64,
    /// Number of submissions whose latest e-mail was planned within the last 7 days and failed.
    pub(crate) failed: i64,
    /// Number of submissions whose latest e-mail was planned within the last 7 days and may not have arrived.
    pub(crate) unknown: i64,
}

/// A worker that polls the task queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerBody {
    /// Identity that the worker reports to Temporal.
    #[schema(example = "diagflow-worker-1")]
    pub(crate) identity: String,
    /// Start of the worker's last poll of the task queue.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) last_poll_at: UtcTime,
}

impl OverviewBody {
    /// Sends the queries one after another so that the overview uses only one database connection at a time.
    pub(crate) async fn read(state: &AppState) -> ApiResult<Self> {
        let (store, dispatch) = (&state.app.store, &state.app.dispatch);
        let hours = store.submissions_per_hour(HOURS).await?;
        let states = store.count_by_status().await?;
        let outcomes = store.outcomes().await?;
        let oldest_waiting = store.oldest_waiting().await?;
        let workers = dispatch.workers().await;
        Ok(Self {
            success: true,
            submissions_per_hour: hours.into_iter().map(HourBody::from).collect(),
            states: states
                .into_iter()
                .map(|(status, count)| StateBody { status: status.into(), count })
                .collect(),
            outcomes_last_day: outcomes.last_day.into(),
            outcomes_last_week: outcomes.last_week.into(),
            time_to_result: store.time_to_result(SAMPLE).await?.map(TimeToResultBody::from),
            oldest_waiting: oldest_waiting.map(|it| OldestWaitingBody::of(it, dispatch.deadline)),
            loopai: store.loopai_usage().await?.into(),
            emails: store.unsettled_emails().await?.into(),
            workers: workers.map(|workers| {
                let workers = workers.into_iter().map(|worker| WorkerBody {
                    identity: worker.identity,
                    last_poll_at: UtcTime::from(worker.last_poll_at),
                });
                workers.collect()
            }),
            stuck: store.count_stuck().await?,
            overdue: store.count_overdue(dispatch.deadline + AFTER_DEADLINE).await?,
        })
    }
}

impl From<HourlyCount> for HourBody {
    fn from(count: HourlyCount) -> Self {
        Self { hour: count.hour, received: count.received }
    }
}

impl From<OutcomeCounts> for OutcomesBody {
    fn from(counts: OutcomeCounts) -> Self {
        let (completed, failed) = (counts.completed, counts.failed());
        let ended = completed + failed;
        // The conversions are exact up to 2^53.
        let rate = |count: i64| count as f64 / ended as f64;
        let causes = counts.failures.into_iter().map(|(error_code, count)| CauseBody {
            error_code,
            count,
            rate: rate(count),
        });
        Self {
            completed,
            failed,
            failure_rate: (ended > 0).then(|| rate(failed)),
            causes: causes.collect(),
        }
    }
}

impl From<TimeToResult> for TimeToResultBody {
    fn from(times: TimeToResult) -> Self {
        let seconds = |time: Duration| time.as_millis() as f64 / 1000.0;
        Self {
            submissions: times.submissions,
            median_seconds: seconds(times.median),
            p95_seconds: seconds(times.p95),
        }
    }
}

impl OldestWaitingBody {
    fn of(oldest: OldestWaiting, deadline: Duration) -> Self {
        Self {
            submission_id: oldest.submission,
            since: oldest.since,
            deadline_at: oldest.started_at.map(|started_at| started_at + deadline),
        }
    }
}

impl From<LoopAiUsage> for LoopAiBody {
    fn from(usage: LoopAiUsage) -> Self {
        Self {
            running: usage.running,
            last_hour: usage.last_hour,
            waiting: usage.waiting,
            failing: usage.failing,
            breaker: usage.breaker.into(),
        }
    }
}

impl From<UnsettledEmails> for EmailsBody {
    fn from(emails: UnsettledEmails) -> Self {
        Self { overdue: emails.overdue, failed: emails.failed, unknown: emails.unknown }
    }
}
