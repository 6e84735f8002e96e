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
pub struct Runs {
    temporal: watch::Receiver<Option<Client>>,
    /// Wakes the one who passes on what the records say.
    news: Arc<Notify>,
}

/// Why Temporal was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReached {
    #[error("no connection to Temporal")]
    NoConnection,
    #[error("Temporal: {0}")]
    Temporal(#[from] WorkflowInteractionError),
    #[error("Temporal: {0}")]
    NotStarted(#[from] WorkflowStartError),
}

impl From<NotReached> for ApiError {
    fn from(error: NotReached) -> Self {
        Self::TemporalUnavailable(error.to_string())
    }
}

/// What Temporal has of a submission just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Newest {
    /// An execution that goes on, by this name.
    Open(String),
    /// None that goes on.
    Closed,
}

impl Runs {
    /// `temporal` holds the client once there is a connection.
    pub fn new(temporal: watch::Receiver<Option<Client>>) -> Runs {
        Runs { temporal, news: Arc::default() }
    }

    /// Says that the records hold something new to pass on to Temporal.
    pub(crate) fn tell_soon(&self) {
        self.news.notify_one();
    }

    /// Waits for [`Runs::tell_soon`].
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// The client, while there is a connection.
    pub(crate) fn client(&self) -> Result<Client, NotReached> {
        self.temporal.borrow().clone().ok_or(NotReached::NoConnection)
    }

    /// Lets a submission's run look at LoopAI now. Without effect when none is going on.
    ///
    /// # Errors
    /// When Temporal does not answer.
    pub(crate) async fn wake(&self, submission: SubmissionId) -> Result<(), NotReached> {
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
    ) -> Result<WorkflowHandle<Client, DiagnosisWorkflow>, NotReached> {
        let client = self.client()?;
        let info = WorkflowExecutionInfo::builder()
            .namespace(client.namespace())
            .workflow_id(workflow_id(&submission.to_string()))
            .run_id(temporal_run_id)
            .build();
        Ok(WorkflowHandle::new(client, info))
    }

    /// The newest execution of an e-mail outside a run, whether there is one or not.
    pub(crate) fn delivery(
        &self,
        delivery: DeliveryId,
    ) -> Result<WorkflowHandle<Client, DeliveryWorkflow>, NotReached> {
        let id = delivery_workflow_id(&delivery.to_string());
        Ok(self.client()?.get_workflow_handle(id))
    }

    /// Calls an execution off. Without effect when it is closed.
    ///
    /// # Errors
    /// When Temporal does not answer.
    pub(crate) async fn cancel(&self, started: &StartedRun) -> Result<(), NotReached> {
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
    pub(crate) async fn newest(&self, submission: SubmissionId) -> Result<Newest, NotReached> {
        let run = self
            .client()?
            .get_workflow_handle::<DiagnosisWorkflow>(workflow_id(&submission.to_string()));
        Ok(match described(run.describe(WorkflowDescribeOptions::default()).await)? {
            Some(found) if found.close_time().is_none() => Newest::Open(found.run_id().to_owned()),
            _ => Newest::Closed,
        })
    }

    /// Starts the workflow of an e-mail that is delivered outside a run. One that goes on already will do.
    ///
    /// # Errors
    /// When Temporal does not answer.
    pub(crate) async fn deliver(
        &self,
        delivery: DeliveryId,
        task_queue: &str,
    ) -> Result<(), NotReached> {
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
pub(crate) fn described(
    answer: Result<WorkflowExecutionDescription, WorkflowInteractionError>,
) -> Result<Option<WorkflowExecutionDescription>, NotReached> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(WorkflowInteractionError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
