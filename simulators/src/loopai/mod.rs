//! A LoopAI simulator: the platform's HTTP contract, honest measurements instead of a diagnosis,
//! and misbehaviour on request.
//!
//! # The contract
//!
//! `POST /api/public/agent/{agent_id}/action/diagnose/` takes JSON and answers `execution_id`.
//! `GET /api/execution/{execution_id}/status/` answers `status`: `RUNNING`, `COMPLETED` with
//! `result`, or `FAILED` with `error`. Images come as `data` (a `data:` URL or bare base64) or as
//! `url`. The same `Idempotency-Key` header (or else `client_reference`) gives the same execution.
//!
//! # Scenarios
//!
//! The simulator follows one *default scenario*, set by [`Settings::scenario`],
//! [`LoopAiSim::set_scenario`] or `PUT /_sim/scenario` (the text as the body). A submission whose
//! comments hold a directive, `[sim: …]`, follows that one alone. The text is a list of items,
//! separated by commas:
//!
//! | item | meaning |
//! |---|---|
//! | `delay=20s` | time until the execution ends (`ms`, `s`, `m`, `h`) |
//! | `fail`, `fail=TEXT` | `FAILED`, with TEXT as `error` (no comma or `]` in it) |
//! | `stuck` | never ends |
//! | `no-result` | `COMPLETED` without `result` |
//! | `complete` | the ordinary end |
//! | `diagnose=FAULT` | the diagnose request goes wrong, and no execution is created |
//! | `diagnose=accept+FAULT` | the execution is created, but its answer goes wrong |
//! | `status=FAULT` | the status request goes wrong |
//!
//! | FAULT | meaning |
//! |---|---|
//! | `400` … `599` | that HTTP status; `429:7s` adds `Retry-After: 7` (`429` alone: 1) |
//! | `hang` | no answer until the client gives up |
//! | `reset`, `drop` | the connection is reset, or closed, without an answer |
//! | `cut` | the connection closes in the middle of the body |
//! | `html` | 200 with an HTML page |
//! | `truncated` | 200 with half of the JSON text |
//! | `unknown`, `unknown:WORD` | a status word that nobody knows (`status` only) |
//! | `no-id` | JSON without `execution_id` (`diagnose` only) |
//! | `huge`, `huge:50MB` | a JSON body of that size, streamed (6 MB) |
//! | `redirect` | 302 to a login page |
//! | `slow:5s` | the right answer, late |
//!
//! `*N` after an item limits it to the first N times, `then` in front of one is for readability:
//! `[sim: status=429*2, then status=html*1, delay=1s]`. Entries for the same request are used up in
//! order. Outcomes are counted by execution (`fail*1`: the first run fails, a retry succeeds),
//! faults by request. A directive counts for its submission alone, the default scenario for all.
//! Outcome and delay are settled when the execution is created; faults are looked up at each
//! request, so a new default scenario also reaches executions that are under way.
//!
//! # Control
//!
//! | request | |
//! |---|---|
//! | `GET`, `PUT /_sim/scenario` | the default scenario, as text |
//! | `GET /_sim/executions` | every execution: [`ExecutionRecord`] |
//! | `POST /_sim/executions/{id}/complete`, `…/fail` | ends one now (`fail` takes `{"error": …}`) |
//! | `GET /_sim/requests` | what was asked and answered: [`RequestRecord`] |
//! | `POST /_sim/reset` | forgets everything and returns to the settings' scenario |
//! | `GET /health`, `GET /` | for machines and for people |

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

/// Ten images of 10 MB as base64 are 133 MB; the rest is for comments and names.
const BODY_LIMIT: usize = 200 * 1024 * 1024;

/// A running simulator. Dropping it stops it without waiting.
pub struct LoopAiSim {
    server: HttpServer,
    simulation: Arc<Simulation>,
}

impl LoopAiSim {
    /// Starts a simulator on `listen`; port 0 picks a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(listen: SocketAddr, settings: Settings) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let simulation = Arc::new(Simulation::new(settings, stop.clone()));
        let server = HttpServer::start(listen, router(simulation.clone()), stop).await?;
        Ok(Self { server, simulation })
    }

    /// Runs until `stop` is ready, then shuts down: the form that a command line wants.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) {
        stop.await;
        self.shutdown().await;
    }

    /// Stops listening, breaks off faults that hang, and waits for answers under way (2 s at most).
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }

    /// Where the simulator listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The base address for `LOOPAI_API_URL`, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The default scenario.
    pub fn scenario(&self) -> Scenario {
        self.simulation.scenario()
    }

    /// Replaces the default scenario and starts its counts at zero.
    pub fn set_scenario(&self, scenario: Scenario) {
        self.simulation.set_scenario(scenario);
    }

    /// Every execution so far, oldest first (up to [`Settings::capacity`]).
    pub fn executions(&self) -> Vec<ExecutionRecord> {
        self.simulation.executions()
    }

    /// One execution.
    pub fn execution(&self, execution_id: &str) -> Option<ExecutionRecord> {
        self.simulation.execution(execution_id)
    }

    /// Every request of the contract so far, oldest first (up to [`Settings::capacity`]). `/health`,
    /// `/` and `/_sim/` are left out.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.simulation.requests()
    }

    /// Ends an execution that is under way with `COMPLETED`, at once or as soon as its images are
    /// measured.
    ///
    /// # Errors
    /// When there is no such execution, or it has ended.
    pub fn complete(&self, execution_id: &str) -> Result<(), ControlError> {
        self.simulation.complete_manually(execution_id)
    }

    /// Ends an execution that is under way with `COMPLETED` and this result, whatever was measured.
    ///
    /// # Errors
    /// When there is no such execution, or it has ended.
    pub fn complete_with(
        &self,
        execution_id: &str,
        result: serde_json::Value,
    ) -> Result<(), ControlError> {
        self.simulation.complete_with(execution_id, result)
    }

    /// Ends an execution that is under way with `FAILED`.
    ///
    /// # Errors
    /// When there is no such execution, or it has ended.
    pub fn fail(&self, execution_id: &str, error: &str) -> Result<(), ControlError> {
        self.simulation.fail_manually(execution_id, error)
    }

    /// Forgets executions and requests and returns to the scenario of the settings.
    pub fn reset(&self) {
        self.simulation.reset();
    }

    /// Waits until `find` finds something in the executions, e.g. that one has been polled twice.
    ///
    /// # Errors
    /// [`WaitTimeout`] after `limit`, naming the executions there are.
    pub async fn wait_for<T>(
        &self,
        find: impl FnMut(&[ExecutionRecord]) -> Option<T>,
        limit: Duration,
    ) -> Result<T, WaitTimeout> {
        self.simulation.wait_for_executions(find, limit).await
    }

    /// Waits until `find` finds something in the request log, e.g. that a fault has struck.
    ///
    /// # Errors
    /// [`WaitTimeout`] after `limit`, naming the requests there are.
    pub async fn wait_for_request<T>(
        &self,
        find: impl FnMut(&[RequestRecord]) -> Option<T>,
        limit: Duration,
    ) -> Result<T, WaitTimeout> {
        self.simulation.wait_for_requests(find, limit).await
    }
}

fn router(simulation: Arc<Simulation>) -> Router {
    // Only what belongs to the platform is logged; a watcher's own requests would drown it.
    let platform = contract::routes()
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(simulation.log.clone(), request_log::log));
    Router::new()
        .merge(control::routes())
        .merge(page::routes())
        .merge(platform)
        .with_state(simulation)
}
