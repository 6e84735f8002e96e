//! Speaks to what goes on in Temporal: runs, and e-mails that are delivered outside a run.

use crate::error::ApiError;
use diagflow_store::{DeliveryId, StartedRun, SubmissionId};
use diagflow_workflows::{
    DeliveryInput, DeliveryWorkflow, DiagnosisWorkflow, delivery_workflow_id, workflow_id,
};
use std::sync::Arc;
use temporalio_client::errors::{WorkflowInteractionError, WorkflowStartError};
use temporalio_client::{
    Client, NamespacedClient, WorkflowCancelOptions, WorkflowDescribeOptions,
    WorkflowExecutionDescription, WorkflowExecutionInfo, WorkflowHandle, WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy, WorkflowSignalOptions, WorkflowStartOptions,
};
use tokio::sync::{Notify, watch};

/// What goes on in Temporal. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TemporalRuns {
    temporal: watch::Receiver<Option<Client>>,
    /// Wakes the one who passes on what the records say.
    reconcile_requested: Arc<Notify>,
}

/// Why Temporal was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemporalError {
    #[error("no connection to Temporal")]
    NoConnection,
    #[error("Temporal: {0}")]
    Temporal(#[from] WorkflowInteractionError),
    #[error("Temporal: {0}")]
    NotStarted(#[from] WorkflowStartError),
}

impl From<TemporalError> for ApiError {
    fn from(error: TemporalError) -> Self {
        Self::TemporalUnavailable(error.to_string())
    }
}

/// What Temporal has of a submission just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LatestExecution {
    /// An execution that goes on, by this name.
    Open(String),
    /// None that goes on.
    Closed,
}

impl TemporalRuns {
    /// `temporal` holds the client once there is a connection.
    pub fn new(temporal: watch::Receiver<Option<Client>>) -> TemporalRuns {
        TemporalRuns { temporal, reconcile_requested: Arc::default() }
    }

    /// Says that the records hold something new to pass on to Temporal.
    pub(crate) fn wake_reconciler(&self) {
        self.reconcile_requested.notify_one();
    }

    /// Waits for [`TemporalRuns::wake_reconciler`].
    pub(crate) async fn reconcile_requested(&self) {
        self.reconcile_requested.notified().await;
    }

    /// The client, while there is a connection.
    pub(crate) fn client(&self) -> Result<Client, TemporalError> {
        self.temporal.borrow().clone().ok_or(TemporalError::NoConnection)
    }

    /// Lets a submission's run look at LoopAI now. Without effect when none is going on.
    ///
    /// # Errors
    /// When Temporal does not answer.
    pub(crate) async fn notify_execution_changed(
        &self,
        submission: SubmissionId,
    ) -> Result<(), TemporalError> {
        let run = self
            .client()?
            .get_workflow_handle::<DiagnosisWorkflow>(workflow_id(&submission.to_string()));
        let options = WorkflowSignalOptions::default();
        match run.signal(DiagnosisWorkflow::execution_changed, (), options).await {
            Ok(()) | Err(WorkflowInteractionError::NotFound(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// One execution of a submission's runs.
    pub(crate) fn execution(
        &self,
        submission: SubmissionId,
        temporal_run_id: &str,
    ) -> Result<WorkflowHandle<Client, DiagnosisWorkflow>, TemporalError> {
        let client = self.client()?;
        let info = WorkflowExecutionInfo::builder()
            .namespace(client.namespace())
            .workflow_id(workflow_id(&submission.to_string()))
            .run_id(temporal_run_id)
            .build();
        Ok(WorkflowHandle::new(client, info))
    }

    /// The latest_execution execution of an e-mail outside a run, whether there is one or not.
    pub(crate) fn delivery_execution(
        &self,
        delivery: DeliveryId,
    ) -> Result<WorkflowHandle<Client, DeliveryWorkflow>, TemporalError> {
        let id = delivery_workflow_id(&delivery.to_string());
        Ok(self.client()?.get_workflow_handle(id))
    }

    /// Calls an execution off. Without effect when it is closed.
    ///
    /// # Errors
    /// When Temporal does not answer.
    pub(crate) async fn cancel(&self, started: &StartedRun) -> Result<(), TemporalError> {
        let run = self.execution(started.run.submission, &started.temporal_run_id)?;
        match run.cancel(WorkflowCancelOptions::default()).await {
            Ok(()) | Err(WorkflowInteractionError::NotFound(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What Temporal has of a submission's runs just now.
    ///
    /// # Errors
    /// When Temporal does not answer.
    pub(crate) async fn latest_execution(
        &self,
        submission: SubmissionId,
    ) -> Result<LatestExecution, TemporalError> {
        let run = self
            .client()?
            .get_workflow_handle::<DiagnosisWorkflow>(workflow_id(&submission.to_string()));
        Ok(match optional_description(run.describe(WorkflowDescribeOptions::default()).await)? {
            Some(found) if found.close_time().is_none() => {
                LatestExecution::Open(found.run_id().to_owned())
            }
            _ => LatestExecution::Closed,
        })
    }

    /// Starts the workflow of an e-mail that is delivered outside a run. One that goes on already will do.
    ///
    /// # Errors
    /// When Temporal does not answer.
    pub(crate) async fn start_delivery(
        &self,
        delivery: DeliveryId,
        task_queue: &str,
    ) -> Result<(), TemporalError> {
        let id = delivery_workflow_id(&delivery.to_string());
        let input = DeliveryInput { delivery_id: delivery.to_string() };
        // Also once more after it was terminated: the ledger sends nothing twice.
        let options = WorkflowStartOptions::new(task_queue.to_owned(), id)
            .id_reuse_policy(WorkflowIdReusePolicy::AllowDuplicate)
            .id_conflict_policy(WorkflowIdConflictPolicy::Fail)
            .static_summary("E-mail outside a run".to_owned())
            .build();
        match self.client()?.start_workflow(DeliveryWorkflow::run, input, options).await {
            Ok(_) | Err(WorkflowStartError::AlreadyStarted { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A description, or none where Temporal does not know the execution (any more).
pub(crate) fn optional_description(
    answer: Result<WorkflowExecutionDescription, WorkflowInteractionError>,
) -> Result<Option<WorkflowExecutionDescription>, TemporalError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(WorkflowInteractionError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
