//! Delivering an e-mail: as the last step of a diagnosis run, or as a workflow of its own, for what staff
//! send again and for what a run left behind.
#![expect(missing_docs, reason = "the macro's own items carry no docs; ours do")]

use crate::contract::{DeliverInput, DeliverVerdict, DeliveryInput, DiagnosisActivities};
use crate::policy;
use temporalio_common::error::ApplicationFailure;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    WaitConditionOptions, WorkflowCancellationToken, WorkflowContext, WorkflowContextView,
    WorkflowResult, WorkflowTermination, workflows::select,
};

/// One e-mail, outside a run.
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

    /// Sees an e-mail through. Ends *Completed* when the mail server took it, and *Failed* otherwise, with
    /// `mail_failed` or `mail_unknown` as the failure's type. A *Reset* sends nothing twice: the ledger
    /// knows what became of it.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<DeliverVerdict> {
        let delivery_id = ctx.state(|workflow| workflow.input.delivery_id.clone());
        match deliver(ctx, delivery_id, |_| false).await {
            Some(DeliverVerdict::Sent) => Ok(DeliverVerdict::Sent),
            Some(DeliverVerdict::Unknown) => Err(failure("mail_unknown")),
            Some(DeliverVerdict::Failed) | None => Err(failure("mail_failed")),
        }
    }
}

/// Sends an e-mail that is owed: once locally, then durably until the mail server takes it or its time is
/// over. Tells what the ledger says then; `None` when it was left to somebody else, since `is_superseded`
/// became true, or is in no ledger.
pub(crate) async fn deliver<W: 'static>(
    ctx: &WorkflowContext<W>,
    delivery_id: String,
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
    ctx.set_current_details("the mail server does not take our e-mail; trying again");
    let cancellation = WorkflowCancellationToken::new();
    let options = policy::durable_email("e-mail the patient", cancellation.clone());
    let mut retried = ctx.execute_activity(DiagnosisActivities::deliver, input.clone(), options);
    // A run that was called off still sends its e-mail.
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
    let options = policy::durable_record("write down that the e-mail is given up");
    let input = DeliverInput { give_up: true, ..input };
    // It fails only for a delivery that is in no ledger.
    ctx.execute_activity(DiagnosisActivities::deliver, input, options).await.ok()
}

fn failure(code: &str) -> WorkflowTermination {
    ApplicationFailure::builder(code.to_owned())
        .type_name(code.to_owned())
        .non_retryable(true)
        .build()
        .into()
}
