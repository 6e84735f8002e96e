//! The connection to Temporal, and its operations on runs and on e-mails outside a run.

use crate::error::ApiError;
use diagflow_store::{DeliveryId, StartedRun, SubmissionId};
use diagflow_workflows::{
    DeliveryInput, DeliveryRef, DeliveryWorkflow, DiagnosisWorkflow, SubmissionRef,
};
use temporalio_client::errors::{WorkflowInteractionError, WorkflowStartError};
use temporalio_client::{
    Client, NamespacedClient, WorkflowCancelOptions, WorkflowDescribeOptions,
    WorkflowExecutionDescription, WorkflowExecutionInfo, WorkflowHandle, WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy, WorkflowSignalOptions, WorkflowStartOptions,
};
use temporalio_common::HasWorkflowDefinition;
use tokio::sync::watch;

/// The client is missing until the connection is established. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct TemporalRuns {
    client: watch::Receiver<Option<Client>>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TemporalError {
    #[error("no connection to Temporal")]
    NoConnection,
    #[error("Temporal: {0}")]
    Interaction(#[from] WorkflowInteractionError),
    #[error("Temporal: {0}")]
    Start(#[from] WorkflowStartError),
}

impl From<TemporalError> for ApiError {
    fn from(error: TemporalError) -> Self {
        Self::temporal_unavailable(error)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LatestExecution {
    /// Running, with this Temporal run id.
    Open(String),
    /// Closed, or unknown to Temporal.
    Closed,
}

impl TemporalRuns {
    pub(super) fn new(client: watch::Receiver<Option<Client>>) -> Self {
        Self { client }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.borrow().is_some()
    }

    pub(crate) fn client(&self) -> Result<Client, TemporalError> {
        self.client.borrow().clone().ok_or(TemporalError::NoConnection)
    }

    /// Makes the submission's run poll LoopAI now. Has no effect if none is running.
    pub(crate) async fn notify_execution_changed(
        &self,
        submission: SubmissionId,
    ) -> Result<(), TemporalError> {
        let run = self.latest(submission)?;
        let options = WorkflowSignalOptions::default();
        if_found(run.signal(DiagnosisWorkflow::execution_changed, (), options).await)?;
        Ok(())
    }

    /// Signals an earlier run to end, so that a newer one can start. Has no effect if it is closed.
    pub(super) async fn request_yield(
        &self,
        submission: SubmissionId,
        temporal_run_id: &str,
    ) -> Result<(), TemporalError> {
        let run = self.execution(submission, temporal_run_id)?;
        let options = WorkflowSignalOptions::default();
        if_found(run.signal(DiagnosisWorkflow::make_room, (), options).await)?;
        Ok(())
    }

    /// Cancels an execution. Has no effect if it is closed.
    pub(super) async fn cancel(&self, started: &StartedRun) -> Result<(), TemporalError> {
        let run = self.execution(started.run.submission, &started.temporal_run_id)?;
        if_found(run.cancel(WorkflowCancelOptions::default()).await)?;
        Ok(())
    }

    pub(super) async fn is_closed(
        &self,
        submission: SubmissionId,
        temporal_run_id: &str,
    ) -> Result<bool, TemporalError> {
        let run = self.execution(submission, temporal_run_id)?;
        let description = run.describe(WorkflowDescribeOptions::default()).await?;
        Ok(description.close_time().is_some())
    }

    pub(super) async fn latest_execution(
        &self,
        submission: SubmissionId,
    ) -> Result<LatestExecution, TemporalError> {
        Ok(match describe(&self.latest(submission)?).await? {
            Some(found) if found.close_time().is_none() => {
                LatestExecution::Open(found.run_id().to_owned())
            }
            _ => LatestExecution::Closed,
        })
    }

    /// Starts the workflow of an e-mail that is delivered outside a run, unless it is running.
    pub(super) async fn start_delivery(
        &self,
        delivery: DeliveryId,
        task_queue: &str,
    ) -> Result<(), TemporalError> {
        let delivery_id = DeliveryRef::new(delivery);
        // A terminated workflow may start again: the ledger prevents a second e-mail.
        let options = WorkflowStartOptions::new(task_queue.to_owned(), delivery_id.workflow_id())
            .id_reuse_policy(WorkflowIdReusePolicy::AllowDuplicate)
            .id_conflict_policy(WorkflowIdConflictPolicy::Fail)
            .static_summary("E-mail outside a run".to_owned())
            .build();
        let input = DeliveryInput { delivery_id };
        match self.client()?.start_workflow(DeliveryWorkflow::run, input, options).await {
            Ok(_) | Err(WorkflowStartError::AlreadyStarted { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn execution(
        &self,
        submission: SubmissionId,
        temporal_run_id: &str,
    ) -> Result<WorkflowHandle<Client, DiagnosisWorkflow>, TemporalError> {
        let client = self.client()?;
        let info = WorkflowExecutionInfo::builder()
            .namespace(client.namespace())
            .workflow_id(SubmissionRef::new(submission).workflow_id())
            .run_id(temporal_run_id)
            .build();
        Ok(WorkflowHandle::new(client, info))
    }

    /// The latest execution for an e-mail outside a run. It need not exist.
    pub(crate) fn delivery_execution(
        &self,
        delivery: DeliveryId,
    ) -> Result<WorkflowHandle<Client, DeliveryWorkflow>, TemporalError> {
        Ok(self.client()?.get_workflow_handle(DeliveryRef::new(delivery).workflow_id()))
    }

    fn latest(
        &self,
        submission: SubmissionId,
    ) -> Result<WorkflowHandle<Client, DiagnosisWorkflow>, TemporalError> {
        Ok(self.client()?.get_workflow_handle(SubmissionRef::new(submission).workflow_id()))
    }
}

/// The description of an execution; `None` if Temporal does not have it.
pub(crate) async fn describe<W: HasWorkflowDefinition>(
    execution: &WorkflowHandle<Client, W>,
) -> Result<Option<WorkflowExecutionDescription>, TemporalError> {
    if_found(execution.describe(WorkflowDescribeOptions::default()).await)
}

/// `None` if Temporal does not have the execution, or if the call requires an open execution and it is closed.
pub(crate) fn if_found<T>(
    result: Result<T, WorkflowInteractionError>,
) -> Result<Option<T>, TemporalError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(WorkflowInteractionError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
