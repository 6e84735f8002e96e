//! Speaks to runs that are going on in Temporal.

use diagflow_store::SubmissionId;
use diagflow_workflows::{DiagnosisWorkflow, workflow_id};
use temporalio_client::errors::WorkflowInteractionError;
use temporalio_client::{Client, WorkflowSignalOptions};
use tokio::sync::watch;

/// The runs that are going on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runs {
    temporal: watch::Receiver<Option<Client>>,
}

/// Why a run was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReached {
    #[error("no connection to Temporal")]
    NoConnection,
    #[error("Temporal: {0}")]
    Temporal(WorkflowInteractionError),
}

impl Runs {
    /// `temporal` holds the client once there is a connection.
    pub fn new(temporal: watch::Receiver<Option<Client>>) -> Runs {
        Runs { temporal }
    }

    /// Lets a submission's run look at LoopAI now. Without effect when none is going on.
    ///
    /// # Errors
    /// When Temporal does not answer.
    pub(crate) async fn wake(&self, submission: SubmissionId) -> Result<(), NotReached> {
        let client = self.temporal.borrow().clone().ok_or(NotReached::NoConnection)?;
        let run =
            client.get_workflow_handle::<DiagnosisWorkflow>(workflow_id(&submission.to_string()));
        let options = WorkflowSignalOptions::default();
        match run.signal(DiagnosisWorkflow::execution_changed, (), options).await {
            Ok(()) | Err(WorkflowInteractionError::NotFound(_)) => Ok(()),
            Err(error) => Err(NotReached::Temporal(error)),
        }
    }
}
