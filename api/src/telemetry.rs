//! Prometheus metrics: their names, help texts and the functions that record them.

use diagflow_store::{BreakerState, LoopAiUsage, Pause, PauseTarget};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use std::time::Duration;

const REQUESTS: &str = "diagflow_http_requests_total";
const REQUEST_TIME: &str = "diagflow_http_request_duration_seconds";
const OPEN_STREAMS: &str = "diagflow_event_streams_open";
const OPEN_CONNECTIONS: &str = "diagflow_connections_open";
const CONNECTIONS_REFUSED: &str = "diagflow_connections_refused_total";
const STREAMS_REFUSED: &str = "diagflow_event_streams_refused_total";
const SUBMISSIONS: &str = "diagflow_submissions_total";
const QUEUED_RUNS: &str = "diagflow_runs_queued";
const STUCK_RUNS: &str = "diagflow_runs_stuck";
const OVERDUE: &str = "diagflow_submissions_overdue";
const EMAILS_OVERDUE: &str = "diagflow_emails_overdue";
const LOOPAI_EXECUTIONS: &str = "diagflow_loopai_executions";
const LOOPAI_LAST_HOUR: &str = "diagflow_loopai_executions_last_hour";
const LOOPAI_WAITING: &str = "diagflow_loopai_waiting";
const LOOPAI_FAILING: &str = "diagflow_loopai_failing";
const LOOPAI_BREAKER_STATE: &str = "diagflow_loopai_breaker_state";
const PAUSED: &str = "diagflow_paused";
const AUDIT_ENTRIES_DROPPED: &str = "diagflow_audit_entries_dropped_total";

/// Upper bounds of the histogram buckets, in seconds.
const DURATION_BUCKETS: [f64; 11] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Returns a builder for the recorder behind [`crate::app::App::metrics`], configured with the API's histogram buckets.
pub fn metrics_builder() -> PrometheusBuilder {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(REQUEST_TIME.to_owned()), &DURATION_BUCKETS)
        .expect("the list of buckets is not empty")
}

pub(crate) fn describe() {
    describe_counter!(REQUESTS, "Requests by method, route and status");
    describe_histogram!(
        REQUEST_TIME,
        Unit::Seconds,
        "Time until the response started, by method and route"
    );
    describe_gauge!(OPEN_STREAMS, "Open event streams");
    describe_counter!(
        STREAMS_REFUSED,
        "Event streams refused because a client or account exceeded its limit"
    );
    describe_gauge!(OPEN_CONNECTIONS, "Open connections");
    describe_counter!(
        CONNECTIONS_REFUSED,
        "Connections refused because a client exceeded its limit"
    );
    describe_counter!(SUBMISSIONS, "Submissions by outcome");
    describe_gauge!(QUEUED_RUNS, "Runs that have been queued for more than 5 seconds");
    describe_gauge!(STUCK_RUNS, "Runs whose workflow task fails on every attempt");
    describe_gauge!(OVERDUE, "Open submissions older than the deadline and 5 minutes");
    describe_gauge!(
        EMAILS_OVERDUE,
        "Submissions whose latest e-mail has been due for more than an hour"
    );
    describe_gauge!(LOOPAI_EXECUTIONS, "Runs that hold a LoopAI slot");
    describe_gauge!(LOOPAI_LAST_HOUR, "Executions started at LoopAI within the last hour");
    describe_gauge!(LOOPAI_WAITING, "Runs whose LoopAI request has been deferred");
    describe_gauge!(
        LOOPAI_FAILING,
        "Runs that fail at LoopAI even though it accepts other requests"
    );
    describe_gauge!(
        LOOPAI_BREAKER_STATE,
        "State of the circuit breaker for LoopAI: 0 closed, 1 half-open, 2 open"
    );
    describe_gauge!(
        PAUSED,
        "Whether staff have paused a part of the service: 1 paused, 0 not paused"
    );
    describe_counter!(
        AUDIT_ENTRIES_DROPPED,
        "Rejected requests that were not recorded in the audit log, by reason"
    );
}

/// `status` is `aborted` if the client disconnected before the response started.
pub(crate) fn request(method: &'static str, route: String, status: String, elapsed: Duration) {
    counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!(REQUEST_TIME, "method" => method, "route" => route).record(elapsed);
}

/// `outcome` is `accepted`, `replayed` or an error code.
pub(crate) fn submission(outcome: &'static str) {
    counter!(SUBMISSIONS, "outcome" => outcome).increment(1);
}

/// `reason` is `client` or `process` if the audit entry limit per client or per process was exceeded, and `database` if
/// the write failed.
pub(crate) fn audit_entry_dropped(reason: &'static str) {
    counter!(AUDIT_ENTRIES_DROPPED, "reason" => reason).increment(1);
}

pub(crate) fn queued_runs(count: i64) {
    // The conversion is exact up to 2^53.
    gauge!(QUEUED_RUNS).set(count as f64);
}

pub(crate) fn stuck_runs(count: i64) {
    gauge!(STUCK_RUNS).set(count as f64);
}

pub(crate) fn overdue_submissions(count: i64) {
    gauge!(OVERDUE).set(count as f64);
}

pub(crate) fn overdue_emails(count: i64) {
    gauge!(EMAILS_OVERDUE).set(count as f64);
}

pub(crate) fn loopai(now: LoopAiUsage) {
    gauge!(LOOPAI_EXECUTIONS).set(now.running as f64);
    gauge!(LOOPAI_LAST_HOUR).set(now.last_hour as f64);
    gauge!(LOOPAI_WAITING).set(now.waiting as f64);
    gauge!(LOOPAI_FAILING).set(now.failing as f64);
    gauge!(LOOPAI_BREAKER_STATE).set(match now.breaker {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    });
}

pub(crate) fn pauses(pauses: &[Pause]) {
    for target in PauseTarget::ALL {
        let is_paused = pauses.iter().any(|pause| pause.target == *target);
        gauge!(PAUSED, "target" => target.name()).set(if is_paused { 1.0 } else { 0.0 });
    }
}

pub(crate) fn connection_refused() {
    counter!(CONNECTIONS_REFUSED).increment(1);
}

pub(crate) fn stream_refused() {
    counter!(STREAMS_REFUSED).increment(1);
}

pub(crate) struct OpenConnection(());

impl OpenConnection {
    pub(crate) fn new() -> Self {
        gauge!(OPEN_CONNECTIONS).increment(1);
        Self(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        gauge!(OPEN_CONNECTIONS).decrement(1);
    }
}

pub(crate) struct OpenStream(());

impl OpenStream {
    pub(crate) fn new() -> Self {
        gauge!(OPEN_STREAMS).increment(1);
        Self(())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        gauge!(OPEN_STREAMS).decrement(1);
    }
}
