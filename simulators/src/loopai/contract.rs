//! The two endpoints of the AI platform.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    analysis, fault,
    records::{ExecutionRecord, ExecutionState},
    request_log::RequestNumber,
    scenario::Injection,
    state::Simulation,
    submission::{BodyError, Submission},
};
use crate::{http::ConnectionControl, responses::json_error};

pub(super) fn routes() -> Router<Arc<Simulation>> {
    Router::new()
        .route("/api/public/agent/{agent_id}/action/diagnose/", post(diagnose))
        .route("/api/execution/{execution_id}/status/", get(status))
        .route(fault::LOGIN_PATH, get(login))
        .fallback(not_found)
}

struct ErrorResponse(StatusCode, String);

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        json_error(self.0, self.1)
    }
}

impl From<BodyError> for ErrorResponse {
    fn from(error: BodyError) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }
}

async fn diagnose(
    State(simulation): State<Arc<Simulation>>,
    Path(agent_id): Path<String>,
    Extension(number): Extension<RequestNumber>,
    ConnectInfo(connection): ConnectInfo<ConnectionControl>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ErrorResponse> {
    check_key(&simulation, &headers)?;
    check_content_type(&headers)?;
    let submission = parse(body).await?;
    let fault = simulation.diagnose_fault(&submission);
    let responder = fault::Responder { simulation: simulation.clone(), number, connection };
    if let Some(Injection { fault, accept: false }) = &fault {
        // A slow request takes effect after its delay, provided that the client is still connected.
        let fault = fault.clone();
        if let Some(response) = responder.fault_response(fault, Value::Null).await {
            return Ok(response);
        }
    }
    let key = header_text(&headers, "idempotency-key");
    let accepted = simulation.accept(agent_id, key, &submission);
    simulation.log.set_execution(number, &accepted.execution_id);
    let body = json!({"execution_id": accepted.execution_id, "status": "RUNNING"});
    if let Some(delay) = accepted.delay {
        let task =
            analysis::run(simulation.clone(), accepted.execution_id, submission.images, delay);
        tokio::spawn(simulation.stop.clone().run_until_cancelled_owned(task));
    }
    Ok(match fault {
        Some(Injection { fault, accept: true }) => responder.respond(Some(fault), body).await,
        _ => Json(body).into_response(),
    })
}

async fn status(
    State(simulation): State<Arc<Simulation>>,
    Path(execution_id): Path<String>,
    Extension(number): Extension<RequestNumber>,
    ConnectInfo(connection): ConnectInfo<ConnectionControl>,
    headers: HeaderMap,
) -> Result<Response, ErrorResponse> {
    check_key(&simulation, &headers)?;
    simulation.log.set_execution(number, &execution_id);
    let Some((execution, injection)) = simulation.poll(&execution_id) else {
        let message = "execution not found".to_owned();
        return Err(ErrorResponse(StatusCode::NOT_FOUND, message));
    };
    let responder = fault::Responder { simulation, number, connection };
    let fault = injection.map(|injection| injection.fault);
    Ok(responder.respond(fault, snapshot(&execution)).await)
}

fn snapshot(execution: &ExecutionRecord) -> Value {
    let mut body = json!({
        "execution_id": execution.execution_id,
        "status": execution.state,
    });
    match execution.state {
        ExecutionState::Running => {}
        ExecutionState::Completed => {
            if let Some(result) = &execution.result {
                body["result"] = result.clone();
            }
        }
        ExecutionState::Failed => body["error"] = json!(execution.error),
    }
    body
}

async fn parse(body: Bytes) -> Result<Submission, ErrorResponse> {
    let parsed = tokio::task::spawn_blocking(move || Submission::parse(&body)).await;
    let parsed = parsed.map_err(|error| {
        tracing::error!(%error, "cannot parse a submission");
        ErrorResponse(StatusCode::INTERNAL_SERVER_ERROR, "internal error".into())
    })?;
    Ok(parsed?)
}

fn check_key(simulation: &Simulation, headers: &HeaderMap) -> Result<(), ErrorResponse> {
    let Some(key) = &simulation.settings.api_key else {
        return Ok(());
    };
    let sent = header_text(headers, header::AUTHORIZATION.as_str());
    if sent.is_some_and(|sent| sent == format!("Bearer {key}")) {
        return Ok(());
    }
    let message = "the API key is missing or wrong".to_owned();
    Err(ErrorResponse(StatusCode::UNAUTHORIZED, message))
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ErrorResponse> {
    let sent = header_text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    if headers.get_all(header::CONTENT_TYPE).iter().count() > 1 {
        let message = "Content-Type must be sent only once".to_owned();
        return Err(ErrorResponse(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let media_type = sent.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "Content-Type must be application/json".to_owned();
    Err(ErrorResponse(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// The target of the `redirect` fault. A client that follows the redirect gets HTML instead of JSON.
async fn login() -> Html<&'static str> {
    Html("<!doctype html><title>Sign in</title><h1>Please sign in</h1>")
}

async fn not_found() -> ErrorResponse {
    ErrorResponse(StatusCode::NOT_FOUND, "not found".into())
}
