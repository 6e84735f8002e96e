//! Delivers an e-mail: as the last step of a diagnosis run, or in a separate workflow for an e-mail that staff resend
//! or that a run could not finish.

use crate::contract::{
    CODE_MAIL_FAILED, CODE_MAIL_UNKNOWN, DeliverInput, DeliverVerdict, DeliveryInput, DeliveryRef,
    DiagnosisActivities,
};
use crate::policy;
use temporalio_common::error::ApplicationFailure;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    WaitConditionOptions, WorkflowCancellationToken, WorkflowContext, WorkflowContextView,
    WorkflowResult, WorkflowTermination, workflows::select,
};

#[workflow]
pub struct DeliveryWorkflow {
    input: DeliveryInput,
}

#[workflow_methods]
impl DeliveryWorkflow {
    #[init]
    fn new(_ctx: &WorkflowContextView, input: DeliveryInput) -> Self {
        Self { input }
    }

    /// Closes as *Completed* when the mail server accepted the e-mail, and otherwise as *Failed* with
    /// `mail_failed` or `mail_unknown`. A *Reset* does not send the e-mail twice, because the delivery ledger has
    /// its outcome.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<DeliverVerdict> {
        let delivery_id = ctx.state(|workflow| workflow.input.delivery_id.clone());
        match deliver(ctx, delivery_id, |_| false).await {
            Some(DeliverVerdict::Sent) => Ok(DeliverVerdict::Sent),
            Some(DeliverVerdict::Unknown) => Err(failure(CODE_MAIL_UNKNOWN)),
            Some(DeliverVerdict::Failed) | None => Err(failure(CODE_MAIL_FAILED)),
        }
    }
}

/// Sends an e-mail: first in a local activity, then in a regular one until the mail server accepts it or [`policy`]
/// gives it up. Returns `None` when the delivery was left to another workflow because `is_superseded` became true, or
/// when the ledger cannot record its outcome.
pub(crate) async fn deliver<W: 'static>(
    ctx: &WorkflowContext<W>,
    delivery_id: DeliveryRef,
    is_superseded: impl Fn(&W) -> bool + Copy,
) -> Option<DeliverVerdict> {
    let input = DeliverInput { delivery_id, give_up: false };
    let options = policy::local_email("e-mail the patient");
    let first = ctx.execute_local_activity(DiagnosisActivities::deliver, input.clone(), options);
    if let Ok(verdict) = first.await {
        return Some(verdict);
    }
    if ctx.state(is_superseded) {
        return None;
    }
    ctx.set_current_details("The mail server has not accepted the e-mail yet; retrying");
    let cancellation = WorkflowCancellationToken::new();
    let options = policy::durable_email("e-mail the patient", cancellation.clone());
    let mut retried = ctx.execute_activity(DiagnosisActivities::deliver, input.clone(), options);
    // A cancelled run still sends its e-mail.
    let never_cancelled = WaitConditionOptions::builder()
        .cancellation_token(WorkflowCancellationToken::new())
        .build();
    let outcome = select! {
        outcome = &mut retried => outcome,
        _ = ctx.wait_condition_with_options(is_superseded, never_cancelled) => {
            cancellation.cancel();
            return None;
        }
    };
    if let Ok(verdict) = outcome {
        return Some(verdict);
    }
    let options = policy::durable_record("record that the e-mail was given up");
    let input = DeliverInput { give_up: true, ..input };
    ctx.execute_activity(DiagnosisActivities::deliver, input, options).await.ok()
}

pub(crate) fn failure(code: &str) -> WorkflowTermination {
    ApplicationFailure::builder(code.to_owned())
        .type_name(code.to_owned())
        .non_retryable(true)
        .build()
        .into()
}
