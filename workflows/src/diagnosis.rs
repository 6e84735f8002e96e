//! One run of a submission's diagnosis: request it from LoopAI, poll until it is finished, record the end, e-mail the
//! patient.

use crate::contract::{
    AGENT_ID, CODE_CANCELLED, CODE_DEADLINE_EXCEEDED, CODE_SUPERSEDED, CheckInput, CheckVerdict,
    DiagnosisActivities, DiagnosisInput, EndInput, EndVerdict, ExecutionId, FAILURE_CODE,
    RequestVerdict, RunOutcome, RunRef, RunState, RunStatus, SUBMISSION_STATUS, TemporalRunId,
};
use crate::delivery::{deliver, failure};
use crate::policy::{self, MAX_CONSECUTIVE_REFUSALS};
use std::time::{Duration, SystemTime};
use temporalio_common::error::{ActivityExecutionError, IncomingError};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    SyncWorkflowContext, TimerOptions, WorkflowCancellationToken, WorkflowContext,
    WorkflowContextView, WorkflowResult, WorkflowTermination, workflows::select,
};

type Context = WorkflowContext<DiagnosisWorkflow>;

#[workflow]
pub struct DiagnosisWorkflow {
    input: DiagnosisInput,
    state: RunState,
    /// Counts the signals that end a wait early.
    callbacks: u32,
    /// Whether a newer run waits for this one to close.
    yield_requested: bool,
}

enum Decision {
    /// The database already has this end.
    Recorded(RunOutcome),
    /// The workflow must still record this end.
    Unrecorded {
        status: RunStatus,
        code: String,
    },
    Superseded,
}

impl Decision {
    fn timed_out() -> Self {
        Self::Unrecorded { status: RunStatus::TimedOut, code: CODE_DEADLINE_EXCEEDED.into() }
    }

    fn cancelled() -> Self {
        Self::Unrecorded { status: RunStatus::Cancelled, code: CODE_CANCELLED.into() }
    }

    fn failed(code: String) -> Self {
        Self::Unrecorded { status: RunStatus::Failed, code }
    }
}

#[workflow_methods]
impl DiagnosisWorkflow {
    #[init]
    fn new(_ctx: &WorkflowContextView, input: DiagnosisInput) -> Self {
        Self { input, state: RunState::default(), callbacks: 0, yield_requested: false }
    }

    /// Closes as *Completed* when the result is stored, as *Canceled* when the run was cancelled, and otherwise as
    /// *Failed* with the failure code as the failure's type.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<RunState> {
        let outcome = match diagnose(ctx).await {
            Decision::Recorded(outcome) => Some(outcome),
            Decision::Unrecorded { status, code } => record_end(ctx, status, code).await?,
            Decision::Superseded => None,
        };
        let Some(outcome) = outcome else {
            return Err(failure(CODE_SUPERSEDED));
        };
        publish_end(ctx, &outcome);
        if let Some(delivery_id) = outcome.delivery_id.clone() {
            let is_superseded = |workflow: &Self| workflow.yield_requested;
            // The delivery ledger has the outcome. It never changes how the run ends.
            let _verdict = deliver(ctx, delivery_id, is_superseded).await;
        }
        close(ctx, &outcome)
    }

    /// LoopAI reported a change: poll now instead of waiting for the timer.
    #[signal]
    pub fn execution_changed(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.callbacks = self.callbacks.saturating_add(1);
    }

    /// A newer run waits for this one to close. If an e-mail of this run is still due, the reconciler has it delivered.
    /// A run that is still polling polls at once, and that poll returns `Superseded`.
    #[signal]
    pub fn make_room(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.yield_requested = true;
        self.callbacks = self.callbacks.saturating_add(1);
    }

    #[query]
    pub fn state(&self, _ctx: &WorkflowContextView) -> RunState {
        self.state.clone()
    }
}

async fn diagnose(ctx: &Context) -> Decision {
    // The time of the first workflow task. A run that waited hours for a worker, or that was reset to its
    // beginning, still has its whole time.
    let started_at = ctx.workflow_time();
    ctx.set_current_details("Requesting a diagnosis from LoopAI");
    let execution_id = match request_until_accepted(ctx, started_at).await {
        Ok(execution_id) => execution_id,
        Err(decision) => return decision,
    };
    let mut refusals = 0;
    let mut seen_callbacks = 0;
    let mut requested_delay = Duration::ZERO;
    loop {
        let (polls, schedule) = ctx.state(|w| (w.state.polls, w.input.schedule.clone()));
        let pause =
            schedule.wait_before(polls).max(requested_delay).min(remaining(ctx, started_at));
        if wait(ctx, pause, seen_callbacks, &format!("poll {}", polls + 1)).await
            == WaitResult::Cancelled
        {
            return Decision::cancelled();
        }
        seen_callbacks = ctx.state(|workflow| workflow.callbacks);
        // Not whenever the pause ends at the deadline: a callback may have ended it early.
        let is_final_poll = remaining(ctx, started_at).is_zero();
        requested_delay = Duration::ZERO;
        match poll(ctx, &execution_id, is_final_poll).await {
            PollResult::Running { retry_after } => {
                refusals = 0;
                requested_delay = retry_after;
            }
            PollResult::Refused(code) => {
                refusals += 1;
                if refusals >= MAX_CONSECUTIVE_REFUSALS {
                    return Decision::failed(code);
                }
            }
            PollResult::Decided(decision) => return decision,
        }
        if is_final_poll {
            return Decision::timed_out();
        }
    }
}

/// Repeats the request until LoopAI accepts it or the deadline passes. An operator usually has to fix the cause of a
/// refusal, so only a few are tolerated, spaced like polls.
async fn request_until_accepted(
    ctx: &Context,
    started_at: Option<SystemTime>,
) -> Result<ExecutionId, Decision> {
    let mut refusals = 0;
    loop {
        match request_once(ctx, started_at).await? {
            RequestVerdict::Accepted { execution_id, agent_id } => {
                publish_accepted(ctx, &execution_id, agent_id);
                return Ok(execution_id);
            }
            RequestVerdict::Refused { code } => {
                let remaining = remaining(ctx, started_at);
                let pause = ctx.state(|w| w.input.schedule.wait_before(refusals)).min(remaining);
                refusals += 1;
                if refusals >= MAX_CONSECUTIVE_REFUSALS || remaining.is_zero() {
                    return Err(Decision::failed(code));
                }
                ctx.state_mut(|workflow| workflow.state.code = Some(code));
                wait_before_request(ctx, pause).await?;
            }
            RequestVerdict::Ended(outcome) => return Err(Decision::Recorded(outcome)),
            RequestVerdict::Superseded => return Err(Decision::Superseded),
        }
    }
}

async fn request_once(
    ctx: &Context,
    started_at: Option<SystemTime>,
) -> Result<RequestVerdict, Decision> {
    let run = run_ref(ctx);
    let options = policy::local("request a diagnosis");
    let first =
        ctx.execute_local_activity(DiagnosisActivities::request_diagnosis, run.clone(), options);
    let retry_after = match first.await {
        Ok(answer) => return Ok(answer),
        Err(_) if is_cancelled(ctx) => return Err(Decision::cancelled()),
        Err(error) => retry_after(&error),
    };
    if let Some(retry_after) = retry_after {
        wait_before_request(ctx, retry_after.min(remaining(ctx, started_at))).await?;
    }
    ctx.set_current_details("LoopAI has not accepted the request yet; retrying");
    let options = policy::durable_request(remaining(ctx, started_at));
    let retried = ctx.execute_activity(DiagnosisActivities::request_diagnosis, run, options);
    match retried.await {
        Ok(answer) => Ok(answer),
        Err(_) if is_cancelled(ctx) => Err(Decision::cancelled()),
        Err(error) => {
            Err(non_retryable_code(&error).map_or_else(Decision::timed_out, Decision::failed))
        }
    }
}

/// The code of a failure that must not be retried, such as an unreadable row.
fn non_retryable_code(error: &ActivityExecutionError) -> Option<String> {
    match error.reason()? {
        IncomingError::Application(failure) if failure.is_non_retryable() => {
            failure.type_name().map(str::to_owned)
        }
        _ => None,
    }
}

fn retry_after(error: &ActivityExecutionError) -> Option<Duration> {
    // `reason` does not return it, because the failure of a local activity is not wrapped.
    let failure = error.failure()?.maybe_application_failure()?;
    failure.next_retry_delay?.try_into().ok()
}

fn publish_accepted(ctx: &Context, execution_id: &ExecutionId, agent_id: i64) {
    ctx.state_mut(|workflow| {
        workflow.state.status = RunStatus::Processing;
        workflow.state.execution_id = Some(execution_id.clone());
        workflow.state.code = None;
    });
    ctx.upsert_search_attributes([
        SUBMISSION_STATUS.value_set(RunStatus::Processing.name().into()),
        AGENT_ID.value_set(agent_id),
    ]);
}

#[derive(PartialEq, Eq)]
enum WaitResult {
    Elapsed,
    Cancelled,
}

async fn wait_before_request(ctx: &Context, pause: Duration) -> Result<(), Decision> {
    let seen_callbacks = ctx.state(|workflow| workflow.callbacks);
    match wait(ctx, pause, seen_callbacks, "the next request").await {
        WaitResult::Elapsed => Ok(()),
        WaitResult::Cancelled => Err(Decision::cancelled()),
    }
}

/// Waits for the end of the pause, a cancellation, or a callback beyond `seen_callbacks`, so that a callback that
/// arrives during a request or a poll is not lost.
async fn wait(ctx: &Context, pause: Duration, seen_callbacks: u32, next_step: &str) -> WaitResult {
    let pause = pause.max(Duration::from_millis(1));
    ctx.set_current_details(format!("Waiting {pause:?} before {next_step}"));
    // With a separate token, because SDK 1.1.1 fails every attempt at a workflow task in which it cancels a timer that
    // has already fired.
    let timer_cancellation = WorkflowCancellationToken::new();
    let timer = TimerOptions::builder(pause)
        .summary(format!("before {next_step}"))
        .cancellation_token(timer_cancellation.clone())
        .build();
    select! {
        _ = ctx.timer(timer) => {}
        _ = ctx.wait_condition(move |w| w.callbacks != seen_callbacks) => {}
        _ = ctx.cancelled() => {}
    }
    if is_cancelled(ctx) {
        timer_cancellation.cancel();
        return WaitResult::Cancelled;
    }
    WaitResult::Elapsed
}

enum PollResult {
    Running { retry_after: Duration },
    Refused(String),
    Decided(Decision),
}

/// Polls the execution. A failed poll is followed by the next one. The final poll falls back to a regular activity, so
/// that a finished result is not missed because the database is down at that moment.
async fn poll(ctx: &Context, execution_id: &ExecutionId, is_final_poll: bool) -> PollResult {
    let input = CheckInput { run: run_ref(ctx), execution_id: execution_id.clone() };
    let options = policy::local("poll the execution");
    let first =
        ctx.execute_local_activity(DiagnosisActivities::check_execution, input.clone(), options);
    let answer = match first.await {
        Ok(answer) => Ok(answer),
        Err(_) if is_cancelled(ctx) => return PollResult::Decided(Decision::cancelled()),
        Err(error) if !is_final_poll => Err(error),
        Err(_) => {
            let options = policy::durable_record("final poll of the execution");
            ctx.execute_activity(DiagnosisActivities::check_execution, input, options).await
        }
    };
    ctx.state_mut(|w| {
        w.state.polls += 1;
        w.state.code = match &answer {
            Ok(CheckVerdict::Unreachable { code, .. } | CheckVerdict::Refused { code }) => {
                Some(code.clone())
            }
            _ => None,
        };
    });
    match answer {
        Ok(CheckVerdict::Unreachable { retry_after_ms: Some(requested_delay), .. }) => {
            PollResult::Running { retry_after: Duration::from_millis(requested_delay) }
        }
        Ok(CheckVerdict::Running | CheckVerdict::Unreachable { .. }) | Err(_) => {
            PollResult::Running { retry_after: Duration::ZERO }
        }
        Ok(CheckVerdict::Refused { code }) => PollResult::Refused(code),
        Ok(CheckVerdict::Ended(outcome)) => PollResult::Decided(Decision::Recorded(outcome)),
        Ok(CheckVerdict::Superseded) => PollResult::Decided(Decision::Superseded),
    }
}

/// Records an end that the workflow decided on. Returns `None` when a newer run took over.
async fn record_end(
    ctx: &Context,
    status: RunStatus,
    code: String,
) -> Result<Option<RunOutcome>, WorkflowTermination> {
    let input = EndInput { run: run_ref(ctx), status, code };
    let options = policy::local_end("record the end");
    let first =
        ctx.execute_local_activity(DiagnosisActivities::end_diagnosis, input.clone(), options);
    let answer = match first.await {
        Ok(answer) => answer,
        Err(_) => {
            let options = policy::durable_record("record the end");
            ctx.execute_activity(DiagnosisActivities::end_diagnosis, input, options).await?
        }
    };
    Ok(match answer {
        EndVerdict::Ended(outcome) => Some(outcome),
        EndVerdict::Superseded => None,
    })
}

fn publish_end(ctx: &Context, outcome: &RunOutcome) {
    let status = SUBMISSION_STATUS.value_set(outcome.status.name().into());
    match &outcome.code {
        None => ctx.upsert_search_attributes([status]),
        Some(code) => {
            ctx.upsert_search_attributes([status, FAILURE_CODE.value_set(code.clone())]);
        }
    }
    ctx.set_current_details(match &outcome.code {
        None => outcome.status.name().to_owned(),
        Some(code) => format!("{}: {code}", outcome.status.name()),
    });
    ctx.state_mut(|workflow| {
        workflow.state.status = outcome.status;
        workflow.state.code = outcome.code.clone();
    });
}

fn close(ctx: &Context, outcome: &RunOutcome) -> WorkflowResult<RunState> {
    match outcome.status {
        RunStatus::Completed => Ok(ctx.state(|workflow| workflow.state.clone())),
        RunStatus::Cancelled => Err(WorkflowTermination::cancelled()),
        RunStatus::Pending | RunStatus::Processing | RunStatus::Failed | RunStatus::TimedOut => {
            Err(failure(outcome.code.as_deref().unwrap_or(outcome.status.name())))
        }
    }
}

fn run_ref(ctx: &Context) -> RunRef {
    let first_run_id = TemporalRunId::new(ctx.info().first_execution_run_id());
    ctx.state(|workflow| RunRef {
        submission_id: workflow.input.submission_id.clone(),
        run: workflow.input.run,
        first_run_id,
    })
}

fn is_cancelled(ctx: &Context) -> bool {
    ctx.cancellation_token().is_cancelled()
}

fn remaining(ctx: &Context, started_at: Option<SystemTime>) -> Duration {
    let deadline = ctx.state(|workflow| workflow.input.schedule.deadline());
    let elapsed = match (started_at, ctx.workflow_time()) {
        (Some(started_at), Some(now)) => now.duration_since(started_at).unwrap_or_default(),
        _ => Duration::ZERO,
    };
    deadline.saturating_sub(elapsed)
}
