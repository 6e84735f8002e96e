//! The paths that a workflow can take. Each case executes one path on a real stack. The resulting histories are
//! recorded in `tests/histories/`, replayed in every test run, and checked against the history size limit.

use crate::client::AcceptedSubmission;
use crate::eventually::eventually;
use crate::history;
use crate::loopai_callback;
use crate::photos;
use crate::stack::{Stack, StackOptions, id_of};
use crate::staff::Staff;
use crate::temporal_cli;
use diagflow_simulators::loopai::ExecutionState;
use diagflow_simulators::mail::Rule;
use diagflow_store::{Delivery, DeliveryStatus, Role};
use diagflow_workflows::{DeliveryRef, SubmissionRef};
use serde_json::json;
use std::time::Duration;
use temporalio_client::{
    WorkflowCancelOptions, WorkflowDescribeOptions, WorkflowExecutionInfo,
    WorkflowFetchHistoryOptions, WorkflowHistory,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// The first poll returns the result.
    CompletedAtOnce,
    /// A poll returns the result after many polls have found none.
    CompletedAfterManyPolls,
    /// LoopAI accepts the third request after the first two have failed.
    LoopAiDownAtFirst,
    /// LoopAI sends a callback long before the next poll is due.
    WokenByCallback,
    /// An operator sends the run a signal with an input it does not take.
    SignalledWithInput,
    Failed,
    TimedOut,
    /// An operator cancels the run while LoopAI is working.
    Cancelled,
    /// The worker receives a cancellation and a fired timer in the same workflow task.
    CancelledAsTimerFired,
    /// The mail server accepts the third attempt to send the e-mail.
    MailRetried,
    /// Staff retry a submission while its first run is still waiting for the mail server.
    SupersededByRetry,
    Resent,
    /// Staff resend an e-mail, and the mail server accepts the third attempt to send it.
    ResentRetried,
}

impl Case {
    /// The cases without staff actions, which determine how many history events a submission may use.
    pub const BUDGETED: [Case; 8] = [
        Case::CompletedAtOnce,
        Case::CompletedAfterManyPolls,
        Case::LoopAiDownAtFirst,
        Case::WokenByCallback,
        Case::Failed,
        Case::TimedOut,
        Case::Cancelled,
        Case::MailRetried,
    ];

    pub const ALL: [Case; 13] = [
        Case::CompletedAtOnce,
        Case::CompletedAfterManyPolls,
        Case::LoopAiDownAtFirst,
        Case::WokenByCallback,
        Case::SignalledWithInput,
        Case::Failed,
        Case::TimedOut,
        Case::Cancelled,
        Case::CancelledAsTimerFired,
        Case::MailRetried,
        Case::SupersededByRetry,
        Case::Resent,
        Case::ResentRetried,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Case::CompletedAtOnce => "completed-at-once",
            Case::CompletedAfterManyPolls => "completed-after-many-polls",
            Case::LoopAiDownAtFirst => "loopai-down-at-first",
            Case::WokenByCallback => "woken-by-callback",
            Case::SignalledWithInput => "signalled-with-input",
            Case::Failed => "failed",
            Case::TimedOut => "timed-out",
            Case::Cancelled => "cancelled",
            Case::CancelledAsTimerFired => "cancelled-as-timer-fired",
            Case::MailRetried => "mail-retried",
            Case::SupersededByRetry => "superseded-by-retry",
            Case::Resent => "resent",
            Case::ResentRetried => "resent-retried",
        }
    }

    pub fn close_status(self) -> &'static str {
        match self {
            Case::Failed | Case::TimedOut => "Failed",
            Case::Cancelled | Case::CancelledAsTimerFired => "Canceled",
            _ => "Completed",
        }
    }

    /// Runs the case until its workflow is closed.
    pub async fn run(self) -> (Stack, AcceptedSubmission) {
        let mut stack = Stack::with(self.options()).await;
        match self {
            Case::MailRetried => defer_mail(&stack, 2),
            Case::SupersededByRetry => defer_mail(&stack, 1000),
            _ => {}
        }
        let accepted =
            stack.client.submit("ana@example.org", "since Monday", &[photos::retina()]).await;
        match self {
            Case::CompletedAfterManyPolls => complete_after_polls(&stack).await,
            Case::WokenByCallback => send_callback(&stack, &accepted).await,
            Case::SignalledWithInput => signal_with_input(&stack, &accepted).await,
            Case::Cancelled => cancel(&stack, &accepted).await,
            Case::CancelledAsTimerFired => cancel_as_timer_fires(&mut stack, &accepted).await,
            Case::SupersededByRetry => retry_while_mail_waits(&stack, &accepted).await,
            _ => {}
        }
        assert_eq!(
            history::wait_until_closed(&stack, &accepted).await,
            self.close_status(),
            "{self:?}"
        );
        match self {
            Case::Resent => resend(&stack, &accepted).await,
            Case::ResentRetried => {
                defer_mail(&stack, 2);
                resend(&stack, &accepted).await;
            }
            _ => {}
        }
        (stack, accepted)
    }

    pub async fn history(self, stack: &Stack, accepted: &AcceptedSubmission) -> WorkflowHistory {
        let (workflow, run) = match self {
            Case::Resent | Case::ResentRetried => {
                let all = deliveries(stack, accepted).await;
                let copy = all.iter().find(|one| one.copy == 1).expect("a copy");
                (DeliveryRef::new(copy.id).workflow_id(), None)
            }
            Case::SupersededByRetry => {
                let runs = stack.store.runs(id_of(accepted)).await.expect("runs");
                (
                    SubmissionRef::new(&accepted.submission_id).workflow_id(),
                    runs[0].temporal_run_id.clone(),
                )
            }
            _ => (SubmissionRef::new(&accepted.submission_id).workflow_id(), None),
        };
        let info = WorkflowExecutionInfo::builder()
            .namespace("default")
            .workflow_id(workflow)
            .maybe_run_id(run)
            .build();
        let execution = info.bind_untyped(stack.temporal().await);
        // The history is complete only once the workflow has closed.
        eventually("the workflow to be closed", || async {
            execution.describe(WorkflowDescribeOptions::default()).await.ok()?.close_time()
        })
        .await;
        execution.fetch_history(WorkflowFetchHistoryOptions::default())
    }

    fn options(self) -> StackOptions {
        let options = StackOptions::default();
        match self {
            Case::CompletedAtOnce | Case::MailRetried | Case::Resent | Case::ResentRetried => {
                options
            }
            Case::SupersededByRetry => options.scenario("fail*1, delay=100ms"),
            // The execution is stuck until `complete_after_polls` completes it.
            Case::CompletedAfterManyPolls => options.scenario("stuck"),
            Case::LoopAiDownAtFirst => options.scenario("diagnose=503*2, delay=100ms"),
            // The poll interval exceeds the duration of the test, so only the callback can end the wait.
            Case::WokenByCallback => options
                .with("DIAGNOSIS_POLL_SECONDS", "600")
                .with("LOOPAI_CALLBACK_SECRET", loopai_callback::SECRET),
            Case::SignalledWithInput => options.with("DIAGNOSIS_POLL_SECONDS", "600"),
            Case::Failed => options.scenario("fail=no agent is free, delay=100ms"),
            Case::TimedOut => options.scenario("stuck").with("DIAGNOSIS_DEADLINE_SECONDS", "1"),
            Case::Cancelled => options.scenario("stuck"),
            // Long enough to kill the worker and cancel the run before this timer fires, even on a busy machine.
            Case::CancelledAsTimerFired => {
                options.scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "15")
            }
        }
    }
}

async fn complete_after_polls(stack: &Stack) {
    const MANY: u32 = 7;
    let execution = stack.wait_for_polls(MANY).await;
    stack.loopai.complete(&execution).expect("an execution in progress");
}

async fn signal_with_input(stack: &Stack, accepted: &AcceptedSubmission) {
    wait_until_loopai_completes(stack).await;
    let signal = ["--name", "execution_changed", "--input", r#"{"added_later": true}"#];
    temporal_cli::submission_workflow("signal", accepted, &signal).await;
}

async fn wait_until_loopai_completes(stack: &Stack) {
    eventually("LoopAI to complete", || async {
        let executions = stack.loopai.executions();
        executions
            .first()
            .filter(|execution| execution.state == ExecutionState::Completed)
            .map(drop)
    })
    .await;
}

async fn send_callback(stack: &Stack, accepted: &AcceptedSubmission) {
    wait_until_loopai_completes(stack).await;
    let body = format!(r#"{{"submission_id":"{}"}}"#, accepted.submission_id);
    let response =
        loopai_callback::send(&stack.client, &body, loopai_callback::SECRET, Duration::ZERO).await;
    assert_eq!(response.status().as_u16(), 202);
}

/// Cancels the run and lets the timer fire while no worker is running so that the next worker receives both events in
/// one workflow task.
async fn cancel_as_timer_fires(stack: &mut Stack, accepted: &AcceptedSubmission) {
    const TIMER_STARTED: &str = "EVENT_TYPE_TIMER_STARTED";
    const CANCEL_REQUESTED: &str = "EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED";
    const TIMER_FIRED: &str = "EVENT_TYPE_TIMER_FIRED";
    temporal_cli::wait_for_history(accepted, &[TIMER_STARTED]).await;
    stack.worker.take().expect("a running process").kill();
    cancel(stack, accepted).await;
    temporal_cli::wait_for_history(accepted, &[TIMER_STARTED, CANCEL_REQUESTED, TIMER_FIRED]).await;
    stack.start_worker().await;
}

fn defer_mail(stack: &Stack, times: u32) {
    stack.mail.set_script([Rule::greylisting().times(times)]).expect("a script");
}

async fn deliveries(stack: &Stack, accepted: &AcceptedSubmission) -> Vec<Delivery> {
    stack.store.deliveries(id_of(accepted)).await.expect("deliveries")
}

async fn retry_while_mail_waits(stack: &Stack, accepted: &AcceptedSubmission) {
    let staff = Staff::with_role(stack, Role::Operator).await;
    eventually("two attempts to send the e-mail", || async {
        let all = deliveries(stack, accepted).await;
        all.first().filter(|one| one.attempts >= 2).map(drop)
    })
    .await;
    let path = format!("/api/admin/submissions/{}/retry", accepted.submission_id);
    let response = staff.post(&path, &json!({"reason": "a case"})).await;
    assert_eq!(response.status().as_u16(), 202);
    stack.wait_for_status(accepted, "completed").await;
    stack.mail.set_script([]).expect("a script");
}

async fn resend(stack: &Stack, accepted: &AcceptedSubmission) {
    let staff = Staff::with_role(stack, Role::Operator).await;
    let sent = deliveries(stack, accepted).await[0].id;
    let path =
        format!("/api/admin/submissions/{}/deliveries/{sent}/resend", accepted.submission_id);
    let response = staff.post(&path, &json!({"reason": "a case"})).await;
    assert_eq!(response.status().as_u16(), 202);
    eventually("the copy to be sent", || async {
        let all = deliveries(stack, accepted).await;
        all.iter().all(|one| one.status == DeliveryStatus::Sent).then_some(())
    })
    .await;
}

async fn cancel(stack: &Stack, accepted: &AcceptedSubmission) {
    stack.wait_for_status(accepted, "processing").await;
    let handle = history::workflow_handle(stack, accepted).await;
    handle.cancel(WorkflowCancelOptions::default()).await.expect("a cancellation");
}
