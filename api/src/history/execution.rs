use crate::dispatch::temporal_runs::{TemporalError, describe, events};
use crate::extract::time_format::rfc3339;
use crate::history::describe::{HistoryEventBody, describe_events};
use crate::history::pending::{PendingActivity, pending_activities};
use crate::history::status_name;
use crate::history::stuck::StuckBody;
use serde::Serialize;
use temporalio_client::{Client, WorkflowHandle};
use temporalio_common::HasWorkflowDefinition;
use url::Url;
use utoipa::ToSchema;

/// Availability of a workflow history. `removed`: the history was deleted by an operator or at the end of Temporal's
/// retention period. `not_started`: the workflow has not started in Temporal yet.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum HistoryAvailability {
    Available,
    Removed,
    NotStarted,
}

/// A workflow execution in Temporal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Execution {
    /// URL of the execution in the Temporal UI.
    #[schema(required)]
    pub(crate) link: Option<String>,
    /// Availability of the workflow history.
    history: HistoryAvailability,
    /// Status of the execution, as shown in the Temporal UI.
    #[schema(required, example = "Failed")]
    status: Option<String>,
    /// Start time.
    #[schema(required, format = "date-time")]
    started_at: Option<String>,
    /// Close time.
    #[schema(required, format = "date-time")]
    closed_at: Option<String>,
    /// Failure that keeps the run stuck. `null` if the run is not stuck.
    #[schema(required)]
    stuck: Option<StuckBody>,
    /// Events, oldest first.
    pub(crate) events: Vec<HistoryEventBody>,
    /// Pending activities.
    pending: Vec<PendingActivity>,
}

impl Execution {
    pub(crate) fn not_started() -> Execution {
        Execution {
            link: None,
            history: HistoryAvailability::NotStarted,
            status: None,
            started_at: None,
            closed_at: None,
            stuck: None,
            events: Vec::new(),
            pending: Vec::new(),
        }
    }

    pub(crate) fn removed(link: String) -> Execution {
        Execution {
            link: Some(link),
            history: HistoryAvailability::Removed,
            ..Execution::not_started()
        }
    }

    /// Returns `None` if the execution does not exist in Temporal.
    pub(crate) async fn of<W: HasWorkflowDefinition>(
        handle: &WorkflowHandle<Client, W>,
        ui: &TemporalUi,
    ) -> Result<Option<Execution>, TemporalError> {
        let found = describe(handle).await?;
        let (Some(found), Some(events)) = (found, events(handle).await?) else { return Ok(None) };
        Ok(Some(Execution {
            link: Some(ui.page(found.id(), found.run_id())),
            history: HistoryAvailability::Available,
            status: Some(status_name(&found)),
            started_at: found.start_time().map(rfc3339),
            closed_at: found.close_time().map(rfc3339),
            stuck: StuckBody::of(&found, &events),
            events: describe_events(&events),
            pending: pending_activities(&found, &events),
        }))
    }
}

/// Builds the URLs of executions in the Temporal UI.
pub(crate) struct TemporalUi {
    workflows: String,
}

impl TemporalUi {
    /// `ui` is the URL at which browsers reach the Temporal UI.
    pub(crate) fn new(ui: &Url, namespace: &str) -> TemporalUi {
        let ui = ui.as_str().trim_end_matches('/');
        TemporalUi { workflows: format!("{ui}/namespaces/{namespace}/workflows") }
    }

    pub(crate) fn page(&self, workflow_id: &str, run_id: &str) -> String {
        format!("{}/{workflow_id}/{run_id}/history", self.workflows)
    }
}
