//! The LoopAI simulator's state: executions, scenarios and idempotency keys.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::Utc;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    execution::{Execution, new_record},
    records::{ExecutionRecord, ImageRecord, RequestRecord},
    request_log::RequestLog,
    scenario::{Injection, Outcome, Scenario, ScenarioState},
    settings::Settings,
    submission::Submission,
};
use crate::sync::{ChangeNotifier, WaitTimeout, lock};

/// Why an execution cannot be ended manually.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    #[error("execution not found")]
    NotFound,
    #[error("the execution has already ended")]
    AlreadyEnded,
}

pub(super) struct Simulation {
    pub(super) settings: Settings,
    pub(super) stop: CancellationToken,
    pub(super) log: Arc<RequestLog>,
    changes: Arc<ChangeNotifier>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    default_scenario: ScenarioState,
    /// Scenarios from directives in submissions.
    directive_scenarios: HashMap<String, ScenarioState>,
    executions: BTreeMap<u64, Execution>,
    by_id: HashMap<String, u64>,
    by_key: HashMap<String, KeyUsage>,
    created: u64,
}

struct KeyUsage {
    latest: u64,
    creations: u32,
}

pub(super) struct AcceptedExecution {
    pub(super) execution_id: String,
    /// Time until the execution ends, or `None` if the execution already existed.
    pub(super) delay: Option<Duration>,
}

impl Simulation {
    pub(super) fn new(settings: Settings, stop: CancellationToken) -> Self {
        let changes = Arc::new(ChangeNotifier::new());
        let inner = Inner {
            default_scenario: ScenarioState::new(settings.scenario.clone()),
            ..Inner::default()
        };
        Self {
            log: Arc::new(RequestLog::new(settings.capacity, changes.clone())),
            settings,
            stop,
            changes,
            inner: Mutex::new(inner),
        }
    }

    pub(super) fn scenario(&self) -> Scenario {
        lock(&self.inner).default_scenario.scenario().clone()
    }

    pub(super) fn set_scenario(&self, scenario: Scenario) {
        lock(&self.inner).default_scenario = ScenarioState::new(scenario);
    }

    pub(super) fn reset(&self) {
        *lock(&self.inner) = Inner {
            default_scenario: ScenarioState::new(self.settings.scenario.clone()),
            ..Inner::default()
        };
        self.log.clear();
        self.changes.notify();
    }

    pub(super) fn diagnose_fault(&self, submission: &Submission) -> Option<Injection> {
        let mut inner = lock(&self.inner);
        let directive_key = inner.apply_directive(submission);
        inner.scenario_state(directive_key.as_deref()).next_diagnose_fault()
    }

    /// Creates an execution, or returns the existing one with the same key.
    pub(super) fn accept(
        &self,
        agent_id: String,
        header_key: Option<String>,
        submission: &Submission,
    ) -> AcceptedExecution {
        let mut inner = lock(&self.inner);
        let key = header_key.clone().or_else(|| submission.client_reference.clone());
        if self.settings.honour_idempotency
            && let Some(execution) = inner.find_by_key(key.as_deref())
        {
            execution.record.repeats += 1;
            let execution_id = execution.record.execution_id.clone();
            drop(inner);
            self.changes.notify();
            return AcceptedExecution { execution_id, delay: None };
        }
        let directive_key = inner.apply_directive(submission);
        let state = inner.scenario_state(directive_key.as_deref());
        let outcome = state.next_outcome();
        let scenario = state.scenario();
        let default_delay = Duration::from_millis(self.settings.delay_ms);
        let delay = scenario.delay.unwrap_or(default_delay);
        let record = new_record(agent_id, header_key, scenario.to_string(), submission);
        let execution_id = record.execution_id.clone();
        inner.insert(Execution {
            record,
            key,
            directive_key,
            outcome,
            measured: None,
            complete_when_measured: false,
        });
        inner.evict_oldest(self.settings.capacity);
        drop(inner);
        self.changes.notify();
        AcceptedExecution { execution_id, delay: Some(delay) }
    }

    /// Counts a status request. Returns the execution and the fault to apply, or `None` if the id is unknown.
    pub(super) fn poll(&self, execution_id: &str) -> Option<(ExecutionRecord, Option<Injection>)> {
        let mut inner = lock(&self.inner);
        let execution = inner.get_mut(execution_id)?;
        execution.record.polls += 1;
        execution.record.last_polled_at = Some(Utc::now());
        let record = execution.record.clone();
        let directive_key = execution.directive_key.clone();
        let fault = inner.scenario_state(directive_key.as_deref()).next_status_fault();
        drop(inner);
        self.changes.notify();
        Some((record, fault))
    }

    pub(super) fn record_image(&self, execution_id: &str, index: usize, read: ImageRecord) {
        self.change(execution_id, |execution| {
            if let Some(image) = execution.record.images.get_mut(index) {
                *image = read;
            }
        });
    }

    pub(super) fn record_measurements(&self, execution_id: &str, result: Value) {
        self.change(execution_id, |execution| {
            execution.measured = Some(result);
            execution.record.measured = true;
            if execution.complete_when_measured && execution.is_running() {
                execution.complete(true);
            }
        });
    }

    /// Ends an execution with its scenario's outcome unless it has already been ended manually.
    pub(super) fn finish(&self, execution_id: &str) {
        self.change(execution_id, |execution| {
            if execution.is_running() {
                match execution.outcome.clone() {
                    Outcome::Complete => execution.complete(true),
                    Outcome::NoResult => execution.complete(false),
                    Outcome::Fail(error) => execution.fail(error),
                    Outcome::Stuck => {}
                }
            }
        });
    }

    pub(super) fn complete_manually(&self, execution_id: &str) -> Result<(), ControlError> {
        self.end(execution_id, |execution| {
            if execution.record.measured {
                execution.complete(true);
            } else {
                execution.complete_when_measured = true;
            }
        })
    }

    pub(super) fn complete_with(
        &self,
        execution_id: &str,
        result: Value,
    ) -> Result<(), ControlError> {
        self.end(execution_id, |execution| {
            execution.measured = Some(result);
            execution.complete(true);
        })
    }

    pub(super) fn fail_manually(
        &self,
        execution_id: &str,
        error: &str,
    ) -> Result<(), ControlError> {
        self.end(execution_id, |execution| execution.fail(error.to_owned()))
    }

    fn end(
        &self,
        execution_id: &str,
        end: impl FnOnce(&mut Execution),
    ) -> Result<(), ControlError> {
        let ended = self.change(execution_id, |execution| {
            let running = execution.is_running();
            if running {
                end(execution);
            }
            running
        });
        match ended {
            Some(true) => Ok(()),
            Some(false) => Err(ControlError::AlreadyEnded),
            None => Err(ControlError::NotFound),
        }
    }

    fn change<T>(&self, execution_id: &str, change: impl FnOnce(&mut Execution) -> T) -> Option<T> {
        let done = lock(&self.inner).get_mut(execution_id).map(change);
        self.changes.notify();
        done
    }

    pub(super) fn executions(&self) -> Vec<ExecutionRecord> {
        let inner = lock(&self.inner);
        let executions = inner.executions.values();
        executions.map(|it| inner.snapshot(it)).collect()
    }

    pub(super) fn execution(&self, execution_id: &str) -> Option<ExecutionRecord> {
        let inner = lock(&self.inner);
        let number = inner.by_id.get(execution_id)?;
        inner.executions.get(number).map(|it| inner.snapshot(it))
    }

    pub(super) fn requests(&self) -> Vec<RequestRecord> {
        self.log.all()
    }

    pub(super) async fn wait_for_executions<T>(
        &self,
        mut find: impl FnMut(&[ExecutionRecord]) -> Option<T>,
        limit: Duration,
    ) -> Result<T, WaitTimeout> {
        self.changes.wait_for(limit, || self.executions(), |all| find(all)).await
    }

    pub(super) async fn wait_for_requests<T>(
        &self,
        mut find: impl FnMut(&[RequestRecord]) -> Option<T>,
        limit: Duration,
    ) -> Result<T, WaitTimeout> {
        self.changes.wait_for(limit, || self.requests(), |all| find(all)).await
    }
}

impl Inner {
    /// Registers a submission's directive and returns its key.
    fn apply_directive(&mut self, submission: &Submission) -> Option<String> {
        let scenario = submission.directive.as_ref()?;
        let name = submission.submission_id.as_ref().or(submission.client_reference.as_ref());
        let name = name.cloned().unwrap_or_default();
        let playing = self.directive_scenarios.get(&name).map(ScenarioState::scenario);
        if playing != Some(scenario) {
            let state = ScenarioState::new(scenario.clone());
            self.directive_scenarios.insert(name.clone(), state);
        }
        Some(name)
    }

    fn scenario_state(&mut self, directive_key: Option<&str>) -> &mut ScenarioState {
        let state = directive_key.and_then(|name| self.directive_scenarios.get_mut(name));
        state.unwrap_or(&mut self.default_scenario)
    }

    fn find_by_key(&mut self, key: Option<&str>) -> Option<&mut Execution> {
        let number = self.by_key.get(key?)?.latest;
        self.executions.get_mut(&number)
    }

    fn get_mut(&mut self, execution_id: &str) -> Option<&mut Execution> {
        let number = self.by_id.get(execution_id)?;
        self.executions.get_mut(number)
    }

    fn insert(&mut self, execution: Execution) {
        self.created += 1;
        let number = self.created;
        let id = execution.record.execution_id.clone();
        self.by_id.insert(id, number);
        if let Some(key) = &execution.key {
            let entry =
                self.by_key.entry(key.clone()).or_insert(KeyUsage { latest: number, creations: 0 });
            entry.latest = number;
            entry.creations += 1;
        }
        self.executions.insert(number, execution);
    }

    fn evict_oldest(&mut self, capacity: usize) {
        while self.executions.len() > capacity.max(1) {
            let Some((number, old)) = self.executions.pop_first() else {
                return;
            };
            self.by_id.remove(&old.record.execution_id);
            if let Some(key) = old.key
                && self.by_key.get(&key).is_some_and(|it| it.latest == number)
            {
                self.by_key.remove(&key);
            }
            let mut others = self.executions.values();
            if let Some(name) = old.directive_key
                && !others.any(|it| it.directive_key.as_ref() == Some(&name))
            {
                self.directive_scenarios.remove(&name);
            }
        }
    }

    fn snapshot(&self, execution: &Execution) -> ExecutionRecord {
        let mut record = execution.record.clone();
        let key = execution.key.as_ref().and_then(|key| self.by_key.get(key));
        record.creations = key.map_or(1, |key| key.creations);
        record
    }
}
