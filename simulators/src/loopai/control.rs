//! The control API under `/_sim/`, intended for tests in other processes and for the command line.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    directive::GRAMMAR,
    records::{ExecutionRecord, ExecutionState},
    scenario::Scenario,
    state::{ControlError, Simulation},
};
use crate::responses::json_error;

pub(super) fn routes() -> Router<Arc<Simulation>> {
    Router::new()
        .route("/health", get(health))
        .route("/_sim/scenario", get(scenario).put(set_scenario))
        .route("/_sim/executions", get(executions))
        .route("/_sim/executions/{id}", get(execution))
        .route("/_sim/executions/{id}/complete", post(complete))
        .route("/_sim/executions/{id}/fail", post(fail))
        .route("/_sim/requests", get(requests))
        .route("/_sim/reset", post(reset))
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok", "simulator": "loopai"}))
}

async fn scenario(State(simulation): State<Arc<Simulation>>) -> Json<Value> {
    Json(json!({"scenario": simulation.scenario(), "grammar": GRAMMAR}))
}

async fn set_scenario(State(simulation): State<Arc<Simulation>>, text: String) -> Response {
    match text.parse::<Scenario>() {
        Ok(scenario) => {
            simulation.set_scenario(scenario.clone());
            Json(json!({ "scenario": scenario })).into_response()
        }
        Err(error) => json_error(StatusCode::BAD_REQUEST, error),
    }
}

async fn executions(State(simulation): State<Arc<Simulation>>) -> Json<Value> {
    let executions = simulation.executions();
    let total = |of: fn(&ExecutionRecord) -> u32| -> u64 {
        executions.iter().map(|it| u64::from(of(it))).sum()
    };
    let running = executions.iter().filter(|it| it.state == ExecutionState::Running);
    Json(json!({
        "totals": {
            "executions": executions.len(),
            "running": running.count(),
            "repeats": total(|it| it.repeats),
            "polls": total(|it| it.polls),
        },
        "executions": executions,
    }))
}

async fn execution(
    State(simulation): State<Arc<Simulation>>,
    Path(id): Path<String>,
) -> Result<Response, ControlError> {
    let found = simulation.execution(&id).ok_or(ControlError::NotFound)?;
    Ok(Json(found).into_response())
}

async fn complete(
    State(simulation): State<Arc<Simulation>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ControlError> {
    simulation.complete_manually(&id)?;
    Ok(Json(json!({"success": true})))
}

#[derive(Deserialize)]
struct Failure {
    error: String,
}

async fn fail(
    State(simulation): State<Arc<Simulation>>,
    Path(id): Path<String>,
    failure: Option<Json<Failure>>,
) -> Result<Json<Value>, ControlError> {
    let error = failure.map(|Json(failure)| failure.error);
    let error = error.unwrap_or_else(|| "Failed manually in the simulator".to_owned());
    simulation.fail_manually(&id, &error)?;
    Ok(Json(json!({"success": true})))
}

async fn requests(State(simulation): State<Arc<Simulation>>) -> Json<Value> {
    Json(json!({"requests": simulation.requests()}))
}

async fn reset(State(simulation): State<Arc<Simulation>>) -> Json<Value> {
    simulation.reset();
    Json(json!({"success": true}))
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyEnded => StatusCode::CONFLICT,
        };
        json_error(status, self)
    }
}
