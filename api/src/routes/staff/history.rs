use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::history::execution::{Execution, TemporalUi};
use crate::openapi::error_responses::errors;
use crate::openapi::names::EmailKind;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use diagflow_store::{Action, Delivery, ObjectKind, Run, SubmissionId};
use diagflow_workflows::SubmissionRef;
use serde::Serialize;
use temporalio_client::errors::WorkflowInteractionError;
use temporalio_client::{NamespacedClient, WorkflowFetchHistoryOptions, WorkflowHistoryError};
use utoipa::ToSchema;

/// The workflow histories of a submission.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryBody {
    /// Always `true`.
    #[schema(example = true)]
    pub(crate) success: bool,
    /// Id of the submission.
    #[schema(format = "uuid")]
    pub(crate) submission_id: String,
    /// The runs, newest first.
    pub(crate) runs: Vec<RunHistory>,
    /// E-mails that were delivered outside a run, oldest first. These e-mails were resent by staff or were left over
    /// from an orphaned or superseded run. Only e-mails whose workflow history is still stored in Temporal are
    /// included.
    pub(crate) deliveries: Vec<DeliveryHistory>,
}

/// The workflow history of a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunHistory {
    /// Number of the run within the submission, starting at 1.
    pub(crate) number: i32,
    /// Temporal run id. `null` until the run starts.
    #[schema(required)]
    pub(crate) run_id: Option<String>,
    #[serde(flatten)]
    pub(crate) execution: Execution,
}

/// The workflow history of an e-mail that was delivered outside a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryHistory {
    /// Id of the delivery.
    #[schema(format = "uuid")]
    delivery_id: String,
    /// Outcome reported by the e-mail.
    kind: EmailKind,
    #[serde(flatten)]
    pub(crate) execution: Execution,
}

errors!(ReadHistoryErrors: TemporalUnavailable);

/// Get the workflow history of a submission
///
/// Describes the workflow events of the submission's runs and of e-mails that were delivered outside a run. The history
/// of a deleted submission remains available.
#[utoipa::path(
    get,
    path = "/api/admin/submissions/{id}/history",
    tag = "staff",
    responses((status = 200, description = "The histories.", body = HistoryBody), ReadHistoryErrors),
)]
pub(crate) async fn read_history(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<SubmissionId>,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<HistoryBody>)> {
    let body = view_history(&state, &caller, id).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
}

/// Reads the history and records in the audit log that the caller has viewed it.
pub(crate) async fn view_history(
    state: &AppState,
    caller: &Caller,
    id: SubmissionId,
) -> ApiResult<HistoryBody> {
    let entry = caller.audit_entry(Action::HistoryView, ObjectKind::Submission, id);
    match load_history(state, id).await {
        Ok(body) => {
            state.app.store.append_audit_entry(&entry).await?;
            Ok(body)
        }
        Err(error) => Err(refuse(state, entry, error).await),
    }
}

async fn load_history(state: &AppState, id: SubmissionId) -> ApiResult<HistoryBody> {
    let stored = state.app.store.runs(id).await?;
    if stored.is_empty() {
        return Err(ApiError::NotFound);
    }
    let namespace = state.app.dispatch.temporal.client()?.namespace();
    let ui = TemporalUi::new(&state.app.settings.temporal_ui, &namespace);
    let mut runs = Vec::with_capacity(stored.len());
    for run in stored.into_iter().rev() {
        runs.push(run_history(state, &ui, id, run).await?);
    }
    let mut deliveries = Vec::new();
    for delivery in state.app.store.deliveries(id).await? {
        deliveries.extend(delivery_history(state, &ui, &delivery).await?);
    }
    Ok(HistoryBody { success: true, submission_id: id.to_string(), runs, deliveries })
}

errors!(ReadRawHistoryErrors: TemporalUnavailable);

/// Download the workflow history of a run
///
/// Returns the history in Temporal's JSON format, which replay tests can read. The history of a deleted submission
/// remains available.
#[utoipa::path(
    get,
    path = "/api/admin/submissions/{id}/history/{run_id}/raw",
    tag = "staff",
    responses(
        (status = 200, description = "The history.",
            body = std::collections::HashMap<String, serde_json::Value>),
        ReadRawHistoryErrors,
    ),
)]
pub(crate) async fn read_raw_history(
    State(state): State<AppState>,
    caller: Caller,
    PathId((id, run_id)): PathId<(SubmissionId, String)>,
) -> ApiResult<([(HeaderName, String); 3], Vec<u8>)> {
    let entry = caller.audit_entry(Action::HistoryView, ObjectKind::Submission, id);
    let entry = entry.with("run", run_id.clone());
    let document = match fetch_raw_history(&state, id, &run_id).await {
        Ok(document) => document,
        Err(error) => return Err(refuse(&state, entry, error).await),
    };
    state.app.store.append_audit_entry(&entry).await?;
    let name = format!("attachment; filename=\"submission-{id}-{run_id}.json\"");
    let headers = [
        (CONTENT_TYPE, "application/json".to_owned()),
        (CONTENT_DISPOSITION, name),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, document))
}

async fn fetch_raw_history(state: &AppState, id: SubmissionId, run_id: &str) -> ApiResult<Vec<u8>> {
    let runs = state.app.store.runs(id).await?;
    if !runs.iter().any(|run| run.temporal_run_id.as_deref() == Some(run_id)) {
        return Err(ApiError::NotFound);
    }
    let execution = state.app.dispatch.temporal.execution(id, run_id)?;
    let history = execution.fetch_history(WorkflowFetchHistoryOptions::default());
    history.to_json().await.map_err(|error| match error {
        WorkflowHistoryError::Fetch(WorkflowInteractionError::NotFound(_)) => ApiError::NotFound,
        error => ApiError::temporal_unavailable(error),
    })
}

async fn run_history(
    state: &AppState,
    ui: &TemporalUi,
    id: SubmissionId,
    run: Run,
) -> ApiResult<RunHistory> {
    let execution = match &run.temporal_run_id {
        Some(run_id) => {
            let execution = state.app.dispatch.temporal.execution(id, run_id)?;
            let link = || ui.page(&SubmissionRef::new(id).workflow_id(), run_id);
            let found = Execution::of(&execution, ui).await?;
            found.unwrap_or_else(|| Execution::removed(link()))
        }
        None => Execution::not_started(),
    };
    Ok(RunHistory { number: run.number, run_id: run.temporal_run_id, execution })
}

/// Returns `None` for an e-mail that was delivered within its run.
async fn delivery_history(
    state: &AppState,
    ui: &TemporalUi,
    delivery: &Delivery,
) -> ApiResult<Option<DeliveryHistory>> {
    let execution = state.app.dispatch.temporal.delivery_execution(delivery.id)?;
    let Some(execution) = Execution::of(&execution, ui).await? else { return Ok(None) };
    Ok(Some(DeliveryHistory {
        delivery_id: delivery.id.to_string(),
        kind: delivery.kind.into(),
        execution,
    }))
}
