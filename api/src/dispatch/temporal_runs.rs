//! The Temporal connection, and operations on runs and standalone e-mail deliveries.

use crate::dispatch::failing_task::{FailingTask, failing_attempt};
use crate::error::ApiError;
use diagflow_store::{DeliveryId, StartedRun, SubmissionId};
use diagflow_workflows::contract::AnyInput;
use diagflow_workflows::{
    DeliveryInput, DeliveryRef, DeliveryWorkflow, DiagnosisWorkflow, SubmissionRef,
};
use temporalio_client::errors::{WorkflowInteractionError, WorkflowStartError};
use temporalio_client::tonic::{IntoRequest, Status};
use temporalio_client::{
    Client, NamespacedClient, WorkflowCancelOptions, WorkflowDescribeOptions,
    WorkflowExecutionDescription, WorkflowExecutionInfo, WorkflowFetchHistoryOptions,
    WorkflowHandle, WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowSignalOptions,
    WorkflowStartOptions,
};
use temporalio_common::HasWorkflowDefinition;
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;
use temporalio_common::protos::temporal::api::workflowservice::v1::ListWorkflowExecutionsRequest;
use tokio::sync::watch;

/// Operations on workflows in Temporal. They fail until a connection has been established. Cheap to clone.
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
    #[error("Temporal: {0}")]
    List(#[from] Status),
}

impl From<TemporalError> for ApiError {
    fn from(error: TemporalError) -> Self {
        Self::temporal_unavailable(error)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LatestExecution {
    Open {
        temporal_run_id: String,
        /// Whether the workflow task fails on every attempt.
        is_stuck: bool,
    },
    /// The latest execution is closed, or there is no execution in Temporal.
    Closed,
}

/// Position in the list of executions for which Temporal reports problems. The default is the beginning of the list.
#[derive(Debug, Clone, Default)]
pub(super) struct ReportedProblemsPage(Vec<u8>);

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

    /// Makes the submission's open run poll LoopAI immediately. Has no effect if no run is open.
    pub(crate) async fn notify_execution_changed(
        &self,
        submission: SubmissionId,
    ) -> Result<(), TemporalError> {
        let run = self.latest(submission)?;
        let options = WorkflowSignalOptions::default();
        if_found(run.signal(DiagnosisWorkflow::execution_changed, AnyInput, options).await)?;
        Ok(())
    }

    /// Signals an earlier run to end so that a newer run can start. Has no effect if the earlier run has already
    /// closed.
    pub(super) async fn request_yield(
        &self,
        submission: SubmissionId,
        temporal_run_id: &str,
    ) -> Result<(), TemporalError> {
        let run = self.execution(submission, temporal_run_id)?;
        let options = WorkflowSignalOptions::default();
        if_found(run.signal(DiagnosisWorkflow::make_room, AnyInput, options).await)?;
        Ok(())
    }

    /// Cancels an open execution. Has no effect on a closed execution.
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
            Some(found) if found.close_time().is_none() => LatestExecution::Open {
                temporal_run_id: found.run_id().to_owned(),
                is_stuck: failing_attempt(&found).is_some(),
            },
            _ => LatestExecution::Closed,
        })
    }

    /// Returns up to `limit` submissions with an open execution for which Temporal reports failed workflow tasks, and
    /// the next page. After the last page, this is the first page again. Temporal sets `TemporalReportedProblems` after
    /// the fifth attempt. Older servers do not support this attribute.
    pub(super) async fn reported_problems(
        &self,
        task_queue: &str,
        page: ReportedProblemsPage,
        limit: i32,
    ) -> Result<(Vec<SubmissionId>, ReportedProblemsPage), TemporalError> {
        let query = format!(
            "TemporalReportedProblems IS NOT NULL AND ExecutionStatus = 'Running' \
             AND TaskQueue = '{task_queue}'"
        );
        let client = self.client()?;
        let request = ListWorkflowExecutionsRequest {
            namespace: client.namespace(),
            page_size: limit,
            next_page_token: page.0,
            query,
        };
        let mut service = client.connection().workflow_service();
        let found = service.list_workflow_executions(request.into_request()).await?.into_inner();
        let executions = found.executions.into_iter().filter_map(|found| found.execution);
        let submission = |id: &str| id.strip_prefix("submission-")?.parse().ok();
        let submissions = executions.filter_map(|execution| submission(&execution.workflow_id));
        Ok((submissions.collect(), ReportedProblemsPage(found.next_page_token)))
    }

    /// Returns the cause of a stuck execution's workflow task failures.
    pub(super) async fn stuck_cause(
        &self,
        submission: SubmissionId,
        temporal_run_id: &str,
    ) -> Result<String, TemporalError> {
        let events = events(&self.execution(submission, temporal_run_id)?).await?;
        Ok(FailingTask::of(&events.unwrap_or_default()).cause)
    }

    /// Starts the standalone workflow that delivers an e-mail, unless it is already running.
    pub(super) async fn start_delivery(
        &self,
        delivery: DeliveryId,
        task_queue: &str,
    ) -> Result<(), TemporalError> {
        let delivery_id = DeliveryRef::new(delivery);
        // A terminated workflow may be started again, because the delivery ledger prevents the e-mail from being sent
        // twice.
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

    /// Returns a handle to the latest execution of a standalone delivery. The execution does not have to exist.
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

/// Returns the description of an execution, or `None` if the execution does not exist in Temporal.
pub(crate) async fn describe<W: HasWorkflowDefinition>(
    execution: &WorkflowHandle<Client, W>,
) -> Result<Option<WorkflowExecutionDescription>, TemporalError> {
    if_found(execution.describe(WorkflowDescribeOptions::default()).await)
}

/// Returns the history of an execution, or `None` if the execution does not exist in Temporal.
pub(crate) async fn events<W: HasWorkflowDefinition>(
    execution: &WorkflowHandle<Client, W>,
) -> Result<Option<Vec<HistoryEvent>>, TemporalError> {
    let history = execution.fetch_history(WorkflowFetchHistoryOptions::default());
    if_found(history.into_events().await)
}

/// Returns `None` if the execution does not exist in Temporal, or if the call requires an open execution but this one
/// has closed.
pub(crate) fn if_found<T>(
    result: Result<T, WorkflowInteractionError>,
) -> Result<Option<T>, TemporalError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(WorkflowInteractionError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
