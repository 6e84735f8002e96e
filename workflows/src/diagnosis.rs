//! The diagnosis run: ask LoopAI, wait and look until it is done, record the end, tell the patient.
#![expect(missing_docs, reason = "the macro's own items carry no docs; ours do")]

use crate::contract::{
    AGENT_ID, CODE_CANCELLED, CODE_DEADLINE, CODE_SUPERSEDED, CheckInput, CheckVerdict,
    DiagnosisActivities, DiagnosisInput, EndInput, EndVerdict, Ended, FAILURE_CODE, RequestVerdict,
    RunRef, RunState, RunStatus, SUBMISSION_STATUS,
};
use crate::delivery::deliver;
use crate::policy::{self, REFUSALS_BEFORE_GIVING_UP};
use std::time::{Duration, SystemTime};
use temporalio_common::error::{ActivityExecutionError, ApplicationFailure, IncomingError};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    SyncWorkflowContext, TimerOptions, WorkflowCancellationToken, WorkflowContext,
    WorkflowContextView, WorkflowResult, WorkflowTermination, workflows::select,
};

type Context = WorkflowContext<DiagnosisWorkflow>;

/// One run of a submission's diagnosis.
#[workflow]
pub struct DiagnosisWorkflow {
    input: DiagnosisInput,
    state: RunState,
    /// How often LoopAI called back.
    call_backs: u32,
    /// Whether a newer run waits for this one to be out of its way.
    overtaken: bool,
}

/// How the asking and waiting ended.
enum Verdict {
    /// The records know already.
    Recorded(Ended),
    /// The records must still be told.
    Unrecorded { status: RunStatus, code: String },
    /// A newer run took over.
    Superseded,
}

impl Verdict {
    fn timed_out() -> Self {
        Self::Unrecorded { status: RunStatus::TimedOut, code: CODE_DEADLINE.into() }
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
        Self { input, state: RunState::default(), call_backs: 0, overtaken: false }
    }

    /// Sees a submission through. Ends *Completed* with its result stored, *Canceled* when it was
    /// called off, and *Failed* otherwise, with the stable code as the failure's type.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<RunState> {
        let verdict = diagnose(ctx).await;
        let ended = match verdict {
            Verdict::Recorded(ended) => Some(ended),
            Verdict::Unrecorded { status, code } => record_end(ctx, status, code).await?,
            Verdict::Superseded => None,
        };
        let Some(ended) = ended else {
            return Err(failure(CODE_SUPERSEDED));
        };
        note_end(ctx, &ended);
        if let Some(delivery_id) = ended.delivery_id.clone() {
            let is_overtaken = |workflow: &Self| workflow.overtaken;
            // Whatever becomes of it stands in the ledger, and never changes how the run ends.
            let _in_the_ledger = deliver(ctx, delivery_id, is_overtaken).await;
        }
        conclude(ctx, &ended)
    }

    /// LoopAI says that something changed: look now instead of waiting for the timer.
    #[signal]
    pub fn execution_changed(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.call_backs = self.call_backs.saturating_add(1);
    }

    /// A newer run of the submission waits to be started: make room for it. Its e-mail is seen to its
    /// end elsewhere, if it is still owed at all; a run that is still asking finds out with a look at once.
    #[signal]
    pub fn make_room(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.overtaken = true;
        self.call_backs = self.call_backs.saturating_add(1);
    }

    /// Where this run stands.
    #[query]
    pub fn state(&self, _ctx: &WorkflowContextView) -> RunState {
        self.state.clone()
    }
}

/// Asks, waits and looks, until something is decided.
async fn diagnose(ctx: &Context) -> Verdict {
    // From the first step, not from the start: a run that waited hours for a worker, or that was
    // reset to its beginning, still has its whole time.
    let begun = ctx.workflow_time();
    ctx.set_current_details("asking LoopAI");
    let execution_id = match request(ctx, begun).await {
        Ok(execution_id) => execution_id,
        Err(verdict) => return verdict,
    };
    let mut refusals = 0;
    let mut answered = 0;
    let mut wish = Duration::ZERO;
    loop {
        let (polls, schedule) = ctx.state(|w| (w.state.polls, w.input.schedule.clone()));
        let pause = schedule.wait_before(polls).max(wish).min(remaining(ctx, begun));
        if wait(ctx, pause, answered, &format!("look {}", polls + 1)).await == Woken::Cancelled {
            return Verdict::cancelled();
        }
        answered = ctx.state(|workflow| workflow.call_backs);
        // A look that the call-back asked for early must not be taken for the last one.
        let is_last = remaining(ctx, begun).is_zero();
        wish = Duration::ZERO;
        match look(ctx, &execution_id, is_last).await {
            Look::Running { retry_after } => {
                refusals = 0;
                wish = retry_after;
            }
            Look::Refused(code) => {
                refusals += 1;
                if refusals >= REFUSALS_BEFORE_GIVING_UP {
                    return Verdict::failed(code);
                }
            }
            Look::Decided(verdict) => return verdict,
        }
        if is_last {
            return Verdict::timed_out();
        }
    }
}

/// Asks LoopAI until it takes the submission or the deadline is over. One that refuses is asked again by
/// the schedule of the looks, but not for long: that hardly heals.
async fn request(ctx: &Context, begun: Option<SystemTime>) -> Result<String, Verdict> {
    let mut refusals = 0;
    loop {
        match ask(ctx, begun).await? {
            RequestVerdict::Accepted { execution_id, agent_id } => {
                note_accepted(ctx, &execution_id, agent_id);
                return Ok(execution_id);
            }
            RequestVerdict::Refused { code } => {
                let remaining = remaining(ctx, begun);
                let pause = ctx.state(|w| w.input.schedule.wait_before(refusals)).min(remaining);
                refusals += 1;
                if refusals >= REFUSALS_BEFORE_GIVING_UP || remaining.is_zero() {
                    return Err(Verdict::failed(code));
                }
                ctx.state_mut(|workflow| workflow.state.code = Some(code));
                wait_to_ask(ctx, pause).await?;
            }
            RequestVerdict::Ended(ended) => return Err(Verdict::Recorded(ended)),
            RequestVerdict::Superseded => return Err(Verdict::Superseded),
        }
    }
}

/// Asks LoopAI; once locally, then durably until it answers or the deadline is over.
async fn ask(ctx: &Context, begun: Option<SystemTime>) -> Result<RequestVerdict, Verdict> {
    let run = run_ref(ctx);
    let options = policy::local("ask LoopAI for a diagnosis");
    let first =
        ctx.execute_local_activity(DiagnosisActivities::request_diagnosis, run.clone(), options);
    let retry_after = match first.await {
        Ok(answer) => return Ok(answer),
        Err(_) if is_cancelled(ctx) => return Err(Verdict::cancelled()),
        Err(error) => retry_after(&error),
    };
    if let Some(retry_after) = retry_after {
        wait_to_ask(ctx, retry_after.min(remaining(ctx, begun))).await?;
    }
    ctx.set_current_details("LoopAI does not answer; asking again");
    let options = policy::durable_request(remaining(ctx, begun));
    let again = ctx.execute_activity(DiagnosisActivities::request_diagnosis, run, options);
    match again.await {
        Ok(answer) => Ok(answer),
        Err(_) if is_cancelled(ctx) => Err(Verdict::cancelled()),
        Err(error) => Err(hopeless(&error).map_or_else(Verdict::timed_out, Verdict::failed)),
    }
}

/// The code of a failure that no repetition can mend, such as records that cannot be read.
fn hopeless(error: &ActivityExecutionError) -> Option<String> {
    match error.reason()? {
        IncomingError::Application(failure) if failure.is_non_retryable() => {
            failure.type_name().map(str::to_owned)
        }
        _ => None,
    }
}

/// How long LoopAI wishes us to wait.
fn retry_after(error: &ActivityExecutionError) -> Option<Duration> {
    // Of the failure as it came: a local activity's is not wrapped, so `reason` does not find it.
    let failure = error.failure()?.maybe_application_failure()?;
    failure.next_retry_delay?.try_into().ok()
}

fn note_accepted(ctx: &Context, execution_id: &str, agent_id: i64) {
    ctx.state_mut(|workflow| {
        workflow.state.status = RunStatus::Processing;
        workflow.state.execution_id = Some(execution_id.to_owned());
        workflow.state.code = None;
    });
    ctx.upsert_search_attributes([
        SUBMISSION_STATUS.value_set(RunStatus::Processing.name().into()),
        AGENT_ID.value_set(agent_id),
    ]);
}

#[derive(PartialEq, Eq)]
enum Woken {
    TimeIsUp,
    Cancelled,
}

/// Waits before LoopAI is asked again. No execution that could call back is known yet.
async fn wait_to_ask(ctx: &Context, pause: Duration) -> Result<(), Verdict> {
    let answered = ctx.state(|workflow| workflow.call_backs);
    match wait(ctx, pause, answered, "asking again").await {
        Woken::TimeIsUp => Ok(()),
        Woken::Cancelled => Err(Verdict::cancelled()),
    }
}

/// Waits for the end of the pause, a cancellation, or a call-back beyond those that were `answered` by a
/// look: one that comes while we ask or look is not forgotten.
async fn wait(ctx: &Context, pause: Duration, answered: u32, what_follows: &str) -> Woken {
    let pause = pause.max(Duration::from_millis(1));
    ctx.set_current_details(format!("waiting {pause:?} before {what_follows}"));
    // Not called off with the run but by us, once everything that came with the cancellation was heard: the SDK
    // (1.1.1) fails the task, at every try, when a timer that it has called off itself had fired by then.
    let own = WorkflowCancellationToken::new();
    let timer = TimerOptions::builder(pause)
        .summary(format!("before {what_follows}"))
        .cancellation_token(own.clone())
        .build();
    select! {
        _ = ctx.timer(timer) => {}
        _ = ctx.wait_condition(move |w| w.call_backs != answered) => {}
        _ = ctx.cancelled() => {}
    }
    if is_cancelled(ctx) {
        own.cancel();
        return Woken::Cancelled;
    }
    Woken::TimeIsUp
}

enum Look {
    Running { retry_after: Duration },
    Refused(String),
    Decided(Verdict),
}

/// Looks at the execution. An ordinary look that fails is followed by the next one; the last one
/// before the deadline is made durably, so that a finished result is not missed because our own
/// records were away just then.
async fn look(ctx: &Context, execution_id: &str, is_last: bool) -> Look {
    let input = CheckInput { run: run_ref(ctx), execution_id: execution_id.to_owned() };
    let options = policy::local("look at the execution");
    let first =
        ctx.execute_local_activity(DiagnosisActivities::check_execution, input.clone(), options);
    let answer = match first.await {
        Ok(answer) => Ok(answer),
        Err(_) if is_cancelled(ctx) => return Look::Decided(Verdict::cancelled()),
        Err(error) if !is_last => Err(error),
        Err(_) => {
            let options = policy::durable_record("last look at the execution");
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
        Ok(CheckVerdict::Unreachable { retry_after_ms: Some(wish), .. }) => {
            Look::Running { retry_after: Duration::from_millis(wish) }
        }
        Ok(CheckVerdict::Running | CheckVerdict::Unreachable { .. }) | Err(_) => {
            Look::Running { retry_after: Duration::ZERO }
        }
        Ok(CheckVerdict::Refused { code }) => Look::Refused(code),
        Ok(CheckVerdict::Ended(ended)) => Look::Decided(Verdict::Recorded(ended)),
        Ok(CheckVerdict::Superseded) => Look::Decided(Verdict::Superseded),
    }
}

/// Records an end that only the workflow knows of. `None` when a newer run took over.
async fn record_end(
    ctx: &Context,
    status: RunStatus,
    code: String,
) -> Result<Option<Ended>, WorkflowTermination> {
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
        EndVerdict::Ended(ended) => Some(ended),
        EndVerdict::Superseded => None,
    })
}

fn note_end(ctx: &Context, ended: &Ended) {
    let status = SUBMISSION_STATUS.value_set(ended.status.name().into());
    match &ended.code {
        None => ctx.upsert_search_attributes([status]),
        Some(code) => {
            ctx.upsert_search_attributes([status, FAILURE_CODE.value_set(code.clone())]);
        }
    }
    ctx.set_current_details(match &ended.code {
        None => ended.status.name().to_owned(),
        Some(code) => format!("{}: {code}", ended.status.name()),
    });
    ctx.state_mut(|workflow| {
        workflow.state.status = ended.status;
        workflow.state.code = ended.code.clone();
    });
}

/// Ends the execution so that the Temporal UI shows what happened.
fn conclude(ctx: &Context, ended: &Ended) -> WorkflowResult<RunState> {
    match ended.status {
        RunStatus::Completed => Ok(ctx.state(|workflow| workflow.state.clone())),
        RunStatus::Cancelled => Err(WorkflowTermination::cancelled()),
        RunStatus::Pending | RunStatus::Processing | RunStatus::Failed | RunStatus::TimedOut => {
            Err(failure(ended.code.as_deref().unwrap_or(ended.status.name())))
        }
    }
}

fn failure(code: &str) -> WorkflowTermination {
    ApplicationFailure::builder(code.to_owned())
        .type_name(code.to_owned())
        .non_retryable(true)
        .build()
        .into()
}

fn run_ref(ctx: &Context) -> RunRef {
    let first_run_id = ctx.info().first_execution_run_id().to_owned();
    ctx.state(|workflow| RunRef {
        submission_id: workflow.input.submission_id.clone(),
        run: workflow.input.run,
        first_run_id,
    })
}

fn is_cancelled(ctx: &Context) -> bool {
    ctx.cancellation_token().is_cancelled()
}

/// What is left until the deadline; zero when it is over.
fn remaining(ctx: &Context, begun: Option<SystemTime>) -> Duration {
    let deadline = ctx.state(|workflow| workflow.input.schedule.deadline());
    let passed = match (begun, ctx.workflow_time()) {
        (Some(begun), Some(now)) => now.duration_since(begun).unwrap_or_default(),
        _ => Duration::ZERO,
    };
    deadline.saturating_sub(passed)
}
