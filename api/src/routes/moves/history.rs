//! `GET /api/admin/submissions/{id}/history`: what Temporal has of a submission's runs.

use super::named;
use crate::app::AppState;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::history::{self, Line, Pending};
use crate::runs::{NotReached, described};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use diagflow_store::{Action, ObjectKind, Run, SubmissionId};
use diagflow_workflows::{DiagnosisWorkflow, workflow_id};
use serde::Serialize;
use temporalio_client::errors::WorkflowInteractionError;
use temporalio_client::{
    Client, NamespacedClient, WorkflowDescribeOptions, WorkflowFetchHistoryOptions, WorkflowHandle,
    WorkflowHistoryError,
};
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;
use utoipa::ToSchema;

/// The runs of a submission, as Temporal has them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryBody {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The submission.
    #[schema(format = "uuid")]
    submission_id: String,
    /// Its runs, the newest first.
    runs: Vec<RunHistory>,
}

/// One run of a submission, as Temporal has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunHistory {
    /// Its number within the submission, from 1.
    number: i32,
    /// Temporal's name for it; none while it waits to be started.
    run_id: Option<String>,
    /// Its page in the Temporal UI.
    link: Option<String>,
    /// `kept`: all of it is here. `gone`: Temporal has removed it after its retention, or lost it.
    /// `not_started`: Temporal does not have it yet.
    #[schema(example = "kept")]
    history: &'static str,
    /// How it stands in Temporal, in the words of its UI.
    #[schema(example = "Failed")]
    status: Option<String>,
    /// When it began (UTC).
    #[schema(format = "date-time")]
    started_at: Option<String>,
    /// When it was closed (UTC).
    #[schema(format = "date-time")]
    closed_at: Option<String>,
    /// What happened.
    events: Vec<Line>,
    /// What is not done yet.
    pending: Vec<Pending>,
}

/// Tells what Temporal has of a submission's runs, in plain words.
#[utoipa::path(
    get,
    path = "/api/admin/submissions/{id}/history",
    tag = "staff",
    operation_id = "read_history",
    params(("id" = String, Path, description = "The submission.", format = "uuid")),
    responses(
        (status = 200, description = "Its runs, the newest first.", body = HistoryBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 503, description = "`temporal_unavailable`, `unavailable`, `timeout`: repeat after `Retry-After`", body = ErrorBody),
    ),
)]
pub(crate) async fn history(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<HistoryBody>)> {
    let id: SubmissionId = named(&id)?;
    let runs = state.app.store.runs_of_kept(id).await?.ok_or(ApiError::NotFound)?;
    state.app.store.audit(&caller.did(Action::HistoryView, ObjectKind::Submission, id)).await?;
    let mut told = Vec::with_capacity(runs.len());
    for run in runs.into_iter().rev() {
        told.push(tell(&state, id, run).await?);
    }
    let body = HistoryBody { success: true, submission_id: id.to_string(), runs: told };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
}

/// One run's history as Temporal has it, to download: JSON, as the replay tests read it.
#[utoipa::path(
    get,
    path = "/api/admin/submissions/{id}/history/{run_id}/raw",
    tag = "staff",
    operation_id = "read_raw_history",
    params(
        ("id" = String, Path, description = "The submission.", format = "uuid"),
        ("run_id" = String, Path, description = "Temporal's name for the run.", format = "uuid"),
    ),
    responses(
        (status = 200, description = "The history.", body = Object),
        (status = 404, description = "`not_found`: no such run, or Temporal does not have it any more", body = ErrorBody),
        (status = 503, description = "`temporal_unavailable`, `unavailable`, `timeout`: repeat after `Retry-After`", body = ErrorBody),
    ),
)]
pub(crate) async fn raw_history(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, run_id)): Path<(String, String)>,
) -> ApiResult<([(HeaderName, String); 3], Vec<u8>)> {
    let id: SubmissionId = named(&id)?;
    let runs = state.app.store.runs_of_kept(id).await?.ok_or(ApiError::NotFound)?;
    if !runs.iter().any(|run| run.temporal_run_id.as_deref() == Some(run_id.as_str())) {
        return Err(ApiError::NotFound);
    }
    let line = caller.did(Action::HistoryView, ObjectKind::Submission, id);
    state.app.store.audit(&line.with("run", run_id.clone())).await?;
    let execution = state.app.runs.execution(id, &run_id)?;
    let history = execution.fetch_history(WorkflowFetchHistoryOptions::default());
    let document = match history.to_json().await {
        Ok(document) => document,
        Err(WorkflowHistoryError::Fetch(WorkflowInteractionError::NotFound(_))) => {
            return Err(ApiError::NotFound);
        }
        Err(error) => return Err(ApiError::TemporalUnavailable(error.to_string())),
    };
    let name = format!("attachment; filename=\"submission-{id}-{run_id}.json\"");
    let headers = [
        (CONTENT_TYPE, "application/json".to_owned()),
        (CONTENT_DISPOSITION, name),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, document))
}

/// What Temporal has of one run.
async fn tell(state: &AppState, id: SubmissionId, run: Run) -> ApiResult<RunHistory> {
    let mut told = RunHistory {
        number: run.number,
        run_id: run.temporal_run_id,
        link: None,
        history: "not_started",
        status: None,
        started_at: None,
        closed_at: None,
        events: Vec::new(),
        pending: Vec::new(),
    };
    let Some(run_id) = &told.run_id else { return Ok(told) };
    told.history = "gone";
    told.link = Some(link(state, id, run_id)?);
    let execution = state.app.runs.execution(id, run_id)?;
    let found = described(execution.describe(WorkflowDescribeOptions::default()).await)?;
    if let (Some(found), Some(events)) = (found, events(&execution).await?) {
        told.history = "kept";
        told.status = Some(history::status(&found));
        told.started_at = found.start_time().map(history::time);
        told.closed_at = found.close_time().map(history::time);
        told.pending = history::pending(&found);
        told.events = history::lines(&events);
    }
    Ok(told)
}

async fn events(
    execution: &WorkflowHandle<Client, DiagnosisWorkflow>,
) -> Result<Option<Vec<HistoryEvent>>, NotReached> {
    let history = execution.fetch_history(WorkflowFetchHistoryOptions::default());
    match history.into_events().await {
        Ok(events) => Ok(Some(events)),
        Err(WorkflowInteractionError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The page of a run in the Temporal UI.
fn link(state: &AppState, id: SubmissionId, run_id: &str) -> ApiResult<String> {
    let ui = state.app.settings.temporal_ui.as_str().trim_end_matches('/');
    let namespace = state.app.runs.client()?.namespace();
    let workflow = workflow_id(&id.to_string());
    Ok(format!("{ui}/namespaces/{namespace}/workflows/{workflow}/{run_id}/history"))
}
