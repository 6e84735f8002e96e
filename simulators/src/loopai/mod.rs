//! The LoopAI simulator. It implements the AI platform's HTTP contract, returns image measurements instead of a
//! diagnosis, and injects faults on request.
//!
//! # Contract
//!
//! `POST /api/public/agent/{agent_id}/action/diagnose/` takes JSON and returns `execution_id`.
//! `GET /api/execution/{execution_id}/status/` returns `status`: `RUNNING`, `COMPLETED` with `result`, or `FAILED` with
//! `error`. Images are sent as `data` (a `data:` URL or plain base64) or as `url`. Requests with the same
//! `Idempotency-Key` header return the same execution. Without the header, `client_reference` is used instead.
//!
//! # Scenarios
//!
//! The *default scenario* is set by [`Settings::scenario`], [`LoopAiSim::set_scenario`] or `PUT /_sim/scenario` (text
//! body). A `[sim: …]` directive in a submission's comments replaces it for that submission. A scenario is a
//! comma-separated list of items:
//!
//! | item | meaning |
//! |---|---|
//! | `delay=20s` | time until the execution ends (`ms`, `s`, `m`, `h`) |
//! | `fail`, `fail=TEXT` | `FAILED` with TEXT as `error` (without comma and `]`) |
//! | `stuck` | the execution never ends |
//! | `no-result` | `COMPLETED` without `result` |
//! | `complete` | `COMPLETED` with `result` (the default) |
//! | `diagnose=FAULT` | the diagnose request fails and creates no execution |
//! | `diagnose=accept+FAULT` | the diagnose request creates an execution, but its response fails |
//! | `status=FAULT` | the status request fails |
//!
//! | FAULT | meaning |
//! |---|---|
//! | `400` … `599` | a response with this HTTP status; `429:7s` adds `Retry-After: 7` (`429` alone: 1) |
//! | `hang` | no response until the client disconnects |
//! | `reset`, `drop` | the connection is reset or closed without a response |
//! | `cut` | the connection closes in the middle of the body |
//! | `html` | 200 with an HTML page |
//! | `truncated` | 200 with half of the JSON text |
//! | `unknown`, `unknown:WORD` | an undocumented `status` value (`status` only) |
//! | `no-id` | JSON without `execution_id` (`diagnose` only) |
//! | `huge`, `huge:50MB` | a streamed JSON body of this size (default 6 MB) |
//! | `redirect` | 302 to a login page |
//! | `slow:5s` | the correct response, delayed |
//!
//! An item followed by `*N` applies only the first N times. The word `then` before an item is optional and has no
//! effect: `[sim: status=429*2, then status=html*1, delay=1s]`. Items for the same request apply in order. Outcomes are
//! counted per execution, and faults per request. With `fail*1`, the first run fails and a retry succeeds. Each
//! directive has its own counts. All submissions without a directive share the default scenario's counts.
//!
//! An execution's outcome and delay are fixed when it is created. Faults are looked up on each request, so those in a
//! new default scenario also apply to running executions.
//!
//! # Control
//!
//! | request | |
//! |---|---|
//! | `GET`, `PUT /_sim/scenario` | the default scenario, as text |
//! | `GET /_sim/executions` | all executions: [`ExecutionRecord`] |
//! | `POST /_sim/executions/{id}/complete`, `…/fail` | ends an execution now (`fail` takes `{"error": …}`) |
//! | `GET /_sim/requests` | the request log: [`RequestRecord`] |
//! | `POST /_sim/reset` | deletes all records and restores the configured scenario |
//! | `GET /health`, `GET /` | health check; status page |

mod analysis;
mod contract;
mod control;
mod directive;
mod execution;
mod fault;
mod measure;
mod page;
mod records;
mod report;
mod request_log;
mod scenario;
mod settings;
mod state;
mod submission;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tokio_util::sync::CancellationToken;

pub use directive::{DirectiveError, GRAMMAR};
pub use records::{ExecutionRecord, ExecutionState, ImageRecord, RequestRecord};
pub use scenario::{Fault, Injection, Outcome, Repeated, Scenario};
pub use settings::Settings;
pub use state::ControlError;
pub use submission::contains_email_address;

use crate::{http::HttpServer, sync::WaitTimeout};
use state::Simulation;

/// Maximum size of a request. Ten 10 MB images take 133 MB in base64, and comments and names need some extra room.
const BODY_LIMIT: usize = 200 * 1024 * 1024;

/// A running simulator. Dropping it stops the simulator without waiting for open requests.
pub struct LoopAiSim {
    server: HttpServer,
    simulation: Arc<Simulation>,
}

impl LoopAiSim {
    /// Starts a simulator on `listen`. If the port is 0, a free port is chosen.
    pub async fn start(listen: SocketAddr, settings: Settings) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let simulation = Arc::new(Simulation::new(settings, stop.clone()));
        let server = HttpServer::start(listen, router(simulation.clone()), stop).await?;
        Ok(Self { server, simulation })
    }

    pub async fn serve_until(self, stop: impl Future<Output = ()>) {
        stop.await;
        self.shutdown().await;
    }

    /// Stops listening, ends hanging requests, and waits up to 2 s for responses in progress.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The base URL for `LOOPAI_API_URL`, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn scenario(&self) -> Scenario {
        self.simulation.scenario()
    }

    /// Replaces the default scenario and resets its counts.
    pub fn set_scenario(&self, scenario: Scenario) {
        self.simulation.set_scenario(scenario);
    }

    /// Returns all executions, oldest first (up to [`Settings::capacity`]).
    pub fn executions(&self) -> Vec<ExecutionRecord> {
        self.simulation.executions()
    }

    pub fn execution(&self, execution_id: &str) -> Option<ExecutionRecord> {
        self.simulation.execution(execution_id)
    }

    /// Returns all requests to the platform's API, oldest first (up to [`Settings::capacity`]). Excludes requests to
    /// `/health`, `/` and `/_sim/`.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.simulation.requests()
    }

    /// Completes a running execution as soon as its images are measured.
    pub fn complete(&self, execution_id: &str) -> Result<(), ControlError> {
        self.simulation.complete_manually(execution_id)
    }

    /// Completes a running execution with `result` instead of the measurements.
    pub fn complete_with(
        &self,
        execution_id: &str,
        result: serde_json::Value,
    ) -> Result<(), ControlError> {
        self.simulation.complete_with(execution_id, result)
    }

    pub fn fail(&self, execution_id: &str, error: &str) -> Result<(), ControlError> {
        self.simulation.fail_manually(execution_id, error)
    }

    pub fn reset(&self) {
        self.simulation.reset();
    }

    /// Waits until `find` returns a value when called with the list of executions.
    pub async fn wait_for<T>(
        &self,
        find: impl FnMut(&[ExecutionRecord]) -> Option<T>,
        limit: Duration,
    ) -> Result<T, WaitTimeout> {
        self.simulation.wait_for_executions(find, limit).await
    }

    /// Waits until `find` returns a value when called with the request log.
    pub async fn wait_for_request<T>(
        &self,
        find: impl FnMut(&[RequestRecord]) -> Option<T>,
        limit: Duration,
    ) -> Result<T, WaitTimeout> {
        self.simulation.wait_for_requests(find, limit).await
    }
}

fn router(simulation: Arc<Simulation>) -> Router {
    // Only the platform's endpoints are logged. Otherwise, health checks and the control API would fill the log.
    let platform = contract::routes()
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(simulation.log.clone(), request_log::log));
    Router::new()
        .merge(control::routes())
        .merge(page::routes())
        .merge(platform)
        .with_state(simulation)
}
