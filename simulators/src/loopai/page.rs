//! The status page at `/`.

use std::sync::Arc;

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};

use super::{
    directive::GRAMMAR,
    records::{ExecutionRecord, ExecutionState},
    state::Simulation,
};
use crate::responses;

/// Maximum number of executions on the status page. `/_sim/executions` returns all of them.
const SHOWN: usize = 200;

pub(super) fn routes() -> Router<Arc<Simulation>> {
    Router::new().route("/", get(page))
}

#[derive(Template)]
#[template(path = "loopai.html")]
struct Page {
    scenario: String,
    grammar: &'static str,
    total: usize,
    rows: Vec<Row>,
}

struct Row {
    execution: ExecutionRecord,
    state: &'static str,
    created: String,
    summary: String,
}

async fn page(State(simulation): State<Arc<Simulation>>) -> Response {
    let executions = simulation.executions();
    responses::page(&Page {
        scenario: simulation.scenario().to_string(),
        grammar: GRAMMAR,
        total: executions.len(),
        rows: executions.into_iter().rev().take(SHOWN).map(row).collect(),
    })
}

fn row(execution: ExecutionRecord) -> Row {
    let summary = match (&execution.error, &execution.result) {
        (Some(error), _) => error.clone(),
        (None, Some(result)) => result["summary"].as_str().unwrap_or_default().to_owned(),
        (None, None) => String::new(),
    };
    Row {
        state: match execution.state {
            ExecutionState::Running => "running",
            ExecutionState::Completed => "completed",
            ExecutionState::Failed => "failed",
        },
        created: responses::time(execution.created_at),
        summary,
        execution,
    }
}
