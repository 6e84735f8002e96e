//! `GET /api/admin/submissions/{id}/history`: what Temporal has of a submission's runs and e-mails.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::history::execution::{Execution, TemporalUi};
use crate::auth::audit::refuse;
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

/// The runs of a submission and its e-mails outside them, as Temporal has them.
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
    /// E-mails that were delivered outside a run: sent again by staff, or left behind by a run that was
    /// lost or overtaken. Only those that Temporal has; the oldest first.
    deliveries: Vec<DeliveryHistory>,
}

/// One run of a submission, as Temporal has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunHistory {
    /// Its number within the submission, from 1.
    number: i32,
    /// Temporal's name for it; none while it waits to be started.
    run_id: Option<String>,
    /// What Temporal has of it.
    #[serde(flatten)]
    execution: Execution,
}

/// An e-mail outside a run, as Temporal has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryHistory {
    /// The e-mail, as in the submission's details.
    #[schema(format = "uuid")]
    delivery_id: String,
    /// What it tells: `result`, `failed`, `timed_out` or `cancelled`.
    #[schema(example = "result")]
    kind: String,
    /// What Temporal has of it.
    #[serde(flatten)]
    execution: Execution,
}

/// Tells what Temporal has of a submission's runs and e-mails, in plain words; also of a deleted one.
#[utoipa::path(
    get,
    path = "/api/admin/submissions/{id}/history",
    tag = "staff",
    params(("id" = String, Path, description = "The submission.", format = "uuid")),
    responses(
        (status = 200, description = "Its runs, the newest first, and its e-mails outside them.", body = HistoryBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 503, description = "`temporal_unavailable`, `unavailable`, `timeout`: repeat after `Retry-After`", body = ErrorBody),
    ),
)]
pub(crate) async fn read_history(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<SubmissionId>,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<HistoryBody>)> {
    let entry = caller.audit_entry(Action::HistoryView, ObjectKind::Submission, id);
    match load_history(&state, id).await {
        Ok(body) => {
            state.app.store.append_audit_entry(&entry).await?;
            Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
        }
        Err(refusal) => Err(refuse(&state, entry, refusal).await),
    }
}

/// What Temporal has of a submission. Nothing of it is shown before its view is written down.
async fn load_history(state: &AppState, id: SubmissionId) -> ApiResult<HistoryBody> {
    let runs = state.app.store.runs(id).await?;
    if runs.is_empty() {
        return Err(ApiError::NotFound);
    }
    let namespace = state.app.dispatch.temporal.client()?.namespace();
    let ui = TemporalUi::new(&state.app.settings.temporal_ui, &namespace);
    let mut run_histories = Vec::with_capacity(runs.len());
    for run in runs.into_iter().rev() {
        run_histories.push(run_history(state, &ui, id, run).await?);
    }
    let mut deliveries = Vec::new();
    for delivery in state.app.store.deliveries(id).await? {
        deliveries.extend(delivery_history(state, &ui, &delivery).await?);
    }
    Ok(HistoryBody {
        success: true,
        submission_id: id.to_string(),
        runs: run_histories,
        deliveries,
    })
}

/// One run's history as Temporal has it, to download: JSON, as the replay tests read it. Also of a deleted
/// submission.
#[utoipa::path(
    get,
    path = "/api/admin/submissions/{id}/history/{run_id}/raw",
    tag = "staff",
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
pub(crate) async fn read_raw_history(
    State(state): State<AppState>,
    caller: Caller,
    PathId((id, run_id)): PathId<(SubmissionId, String)>,
) -> ApiResult<([(HeaderName, String); 3], Vec<u8>)> {
    let entry = caller.audit_entry(Action::HistoryView, ObjectKind::Submission, id);
    let entry = entry.with("run", run_id.clone());
    let document = match fetch_raw_history(&state, id, &run_id).await {
        Ok(document) => document,
        Err(refusal) => return Err(refuse(&state, entry, refusal).await),
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

/// A run's history as Temporal has it.
async fn fetch_raw_history(state: &AppState, id: SubmissionId, run_id: &str) -> ApiResult<Vec<u8>> {
    let runs = state.app.store.runs(id).await?;
    if !runs.iter().any(|run| run.temporal_run_id.as_deref() == Some(run_id)) {
        return Err(ApiError::NotFound);
    }
    let execution = state.app.dispatch.temporal.execution(id, run_id)?;
    let history = execution.fetch_history(WorkflowFetchHistoryOptions::default());
    history.to_json().await.map_err(|error| match error {
        WorkflowHistoryError::Fetch(WorkflowInteractionError::NotFound(_)) => ApiError::NotFound,
        error => ApiError::TemporalUnavailable(error.to_string()),
    })
}

/// What Temporal has of one run.
async fn run_history(
    state: &AppState,
    ui: &TemporalUi,
    id: SubmissionId,
    run: Run,
) -> ApiResult<RunHistory> {
    let execution = match &run.temporal_run_id {
        Some(run_id) => {
            let execution = state.app.dispatch.temporal.execution(id, run_id)?;
            let removed =
                || Execution::removed(ui.page(&SubmissionRef::new(id).workflow_id(), run_id));
            Execution::of(&execution, ui).await?.unwrap_or_else(removed)
        }
        None => Execution::not_started(),
    };
    Ok(RunHistory { number: run.number, run_id: run.temporal_run_id, execution })
}

/// What Temporal has of an e-mail outside a run; `None` for one that was the last step of its run.
async fn delivery_history(
    state: &AppState,
    ui: &TemporalUi,
    delivery: &Delivery,
) -> ApiResult<Option<DeliveryHistory>> {
    let execution = state.app.dispatch.temporal.delivery_execution(delivery.id)?;
    let Some(execution) = Execution::of(&execution, ui).await? else { return Ok(None) };
    Ok(Some(DeliveryHistory {
        delivery_id: delivery.id.to_string(),
        kind: delivery.kind.to_string(),
        execution,
    }))
}
