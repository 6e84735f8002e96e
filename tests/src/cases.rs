//! The ways that a run can go: each one made to happen on a real stack. What they leave behind in
//! Temporal is recorded in `tests/histories/`, replayed by every test run, and counted against the
//! history budget.

use crate::call_back;
use crate::client::Accepted;
use crate::eventually::eventually;
use crate::history;
use crate::photos;
use crate::stack::{Stack, StackOptions};
use diagflow_simulators::loopai::ExecutionState;
use diagflow_simulators::mail::Rule;
use std::time::Duration;
use temporalio_client::WorkflowCancelOptions;

/// One way that a run can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// The first look finds the result.
    CompletedAtOnce,
    /// Only a late look finds the result.
    CompletedAfterManyPolls,
    /// LoopAI takes the request only at the third attempt.
    LoopAiDownAtFirst,
    /// LoopAI calls back long before the next look.
    WokenByCallBack,
    /// LoopAI says that it failed.
    Failed,
    /// LoopAI is not done before the deadline.
    TimedOut,
    /// Called off while LoopAI was at work.
    Cancelled,
    /// The mail server takes the e-mail only at the third attempt.
    MailRetried,
}

impl Case {
    /// All of them.
    pub const ALL: [Case; 8] = [
        Case::CompletedAtOnce,
        Case::CompletedAfterManyPolls,
        Case::LoopAiDownAtFirst,
        Case::WokenByCallBack,
        Case::Failed,
        Case::TimedOut,
        Case::Cancelled,
        Case::MailRetried,
    ];

    /// Its name in file names.
    pub fn name(self) -> &'static str {
        match self {
            Case::CompletedAtOnce => "completed-at-once",
            Case::CompletedAfterManyPolls => "completed-after-many-polls",
            Case::LoopAiDownAtFirst => "loopai-down-at-first",
            Case::WokenByCallBack => "woken-by-call-back",
            Case::Failed => "failed",
            Case::TimedOut => "timed-out",
            Case::Cancelled => "cancelled",
            Case::MailRetried => "mail-retried",
        }
    }

    /// How Temporal sees its end.
    pub fn ends(self) -> &'static str {
        match self {
            Case::Failed | Case::TimedOut => "Failed",
            Case::Cancelled => "Canceled",
            _ => "Completed",
        }
    }

    /// Makes it happen; returns when the run is closed.
    ///
    /// # Panics
    /// When the run goes another way.
    pub async fn play(self) -> (Stack, Accepted) {
        let stack = Stack::with(self.options()).await;
        if self == Case::MailRetried {
            stack.mail.set_script([Rule::greylisting().times(2)]).expect("a script");
        }
        let accepted =
            stack.client.submit("ana@example.org", "since Monday", &[photos::retina()]).await;
        match self {
            Case::CompletedAfterManyPolls => complete_after_looks(&stack).await,
            Case::WokenByCallBack => call_back(&stack, &accepted).await,
            Case::Cancelled => cancel(&stack, &accepted).await,
            _ => {}
        }
        assert_eq!(history::closed(&stack, &accepted).await, self.ends(), "{self:?}");
        (stack, accepted)
    }

    fn options(self) -> StackOptions {
        let usual = StackOptions::default();
        match self {
            Case::CompletedAtOnce | Case::MailRetried => usual,
            // Until so many looks are counted.
            Case::CompletedAfterManyPolls => usual.scenario("stuck"),
            Case::LoopAiDownAtFirst => usual.scenario("diagnose=503*2, delay=100ms"),
            // Longer than a test may take: only the call-back can end it.
            Case::WokenByCallBack => usual
                .with("DIAGNOSIS_POLL_SECONDS", "600")
                .with("LOOPAI_CALLBACK_SECRET", call_back::SECRET),
            Case::Failed => usual.scenario("fail=no agent is free, delay=100ms"),
            Case::TimedOut => usual.scenario("stuck").with("DIAGNOSIS_DEADLINE_SECONDS", "1"),
            Case::Cancelled => usual.scenario("stuck"),
        }
    }
}

async fn complete_after_looks(stack: &Stack) {
    const MANY: u32 = 7;
    let execution = stack.looked_at(MANY).await;
    stack.loopai.complete(&execution).expect("at work");
}

async fn call_back(stack: &Stack, accepted: &Accepted) {
    eventually("LoopAI to be done", || async {
        let executions = stack.loopai.executions();
        executions
            .first()
            .filter(|execution| execution.state == ExecutionState::Completed)
            .map(drop)
    })
    .await;
    let body = format!(r#"{{"submission_id":"{}"}}"#, accepted.submission_id);
    let answer = call_back::send(&stack.client, &body, call_back::SECRET, Duration::ZERO).await;
    assert_eq!(answer.status().as_u16(), 202);
}

async fn cancel(stack: &Stack, accepted: &Accepted) {
    stack.until(accepted, "processing").await;
    let handle = history::handle(stack, accepted).await;
    handle.cancel(WorkflowCancelOptions::default()).await.expect("a cancellation");
}
