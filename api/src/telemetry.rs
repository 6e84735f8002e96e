//! Prometheus metrics: their names, help texts and the functions that record them.

use diagflow_store::{BreakerState, LoopAiUsage};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use std::time::Duration;

const REQUESTS: &str = "diagflow_http_requests_total";
const REQUEST_TIME: &str = "diagflow_http_request_duration_seconds";
const OPEN_STREAMS: &str = "diagflow_event_streams_open";
const SUBMISSIONS: &str = "diagflow_submissions_total";
const QUEUED_RUNS: &str = "diagflow_runs_queued";
const LOOPAI_EXECUTIONS: &str = "diagflow_loopai_executions";
const LOOPAI_LAST_HOUR: &str = "diagflow_loopai_executions_last_hour";
const LOOPAI_WAITING: &str = "diagflow_loopai_waiting";
const LOOPAI_BREAKER_STATE: &str = "diagflow_loopai_breaker_state";
const AUDIT_ENTRIES_DROPPED: &str = "diagflow_audit_entries_dropped_total";

/// Upper bounds in seconds.
const DURATION_BUCKETS: [f64; 11] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Builder of the recorder for [`crate::app::App::metrics`], with the histogram buckets of the API.
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
    describe_counter!(SUBMISSIONS, "Submissions by outcome");
    describe_gauge!(QUEUED_RUNS, "Runs that have been queued for more than 5 seconds");
    describe_gauge!(LOOPAI_EXECUTIONS, "Runs that have a slot at LoopAI");
    describe_gauge!(LOOPAI_LAST_HOUR, "Executions started at LoopAI within the last hour");
    describe_gauge!(LOOPAI_WAITING, "Runs whose request to LoopAI is deferred");
    describe_gauge!(
        LOOPAI_BREAKER_STATE,
        "Circuit breaker of LoopAI: 0 closed, 1 half-open, 2 open"
    );
    describe_counter!(AUDIT_ENTRIES_DROPPED, "Rejected requests without an audit entry, by reason");
}

/// `status` is `aborted` if the client disconnected before the response.
pub(crate) fn request(method: &'static str, route: String, status: String, elapsed: Duration) {
    counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!(REQUEST_TIME, "method" => method, "route" => route).record(elapsed);
}

/// `outcome` is `accepted`, `replayed` or an error code.
pub(crate) fn submission(outcome: &'static str) {
    counter!(SUBMISSIONS, "outcome" => outcome).increment(1);
}

/// `reason` is `client` or `process` if a limit was exceeded, or `database` if the write failed.
pub(crate) fn audit_entry_dropped(reason: &'static str) {
    counter!(AUDIT_ENTRIES_DROPPED, "reason" => reason).increment(1);
}

pub(crate) fn queued_runs(count: i64) {
    // Exact up to 2^53.
    gauge!(QUEUED_RUNS).set(count as f64);
}

pub(crate) fn loopai(now: LoopAiUsage) {
    gauge!(LOOPAI_EXECUTIONS).set(now.running as f64);
    gauge!(LOOPAI_LAST_HOUR).set(now.last_hour as f64);
    gauge!(LOOPAI_WAITING).set(now.waiting as f64);
    gauge!(LOOPAI_BREAKER_STATE).set(match now.breaker {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    });
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
