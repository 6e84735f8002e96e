//! Every metric that the API writes, by name and meaning. `/metrics` shows them.

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
const QUEUED_RUNS: &str = "diagflow_runs_waiting_to_start";
const LOOPAI_EXECUTIONS: &str = "diagflow_loopai_executions";
const LOOPAI_LAST_HOUR: &str = "diagflow_loopai_executions_last_hour";
const LOOPAI_WAITING: &str = "diagflow_loopai_waiting";
const LOOPAI_BREAKER_STATE: &str = "diagflow_loopai_breaker_state";
const AUDIT_ENTRIES_DROPPED: &str = "diagflow_audit_lines_withheld_total";

/// Upper bounds of the request times that are told apart, in seconds.
const DURATION_BUCKETS: [f64; 11] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// A recorder that knows the API's histograms. The binary installs it, and hands the handle to
/// [`crate::app::App::metrics`].
pub fn metrics_builder() -> PrometheusBuilder {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(REQUEST_TIME.to_owned()), &DURATION_BUCKETS)
        .expect("the list of bounds is not empty")
}

/// Tells the recorder what the metrics mean.
pub(crate) fn describe() {
    describe_counter!(REQUESTS, "Requests, by method, route and status");
    describe_histogram!(REQUEST_TIME, Unit::Seconds, "Time until the answer began, by route");
    describe_gauge!(OPEN_STREAMS, "Event streams that are open now");
    describe_counter!(SUBMISSIONS, "Submissions, by outcome");
    describe_gauge!(QUEUED_RUNS, "Runs that wait to be started");
    describe_gauge!(LOOPAI_EXECUTIONS, "Runs that have a place at LoopAI, of all workers");
    describe_gauge!(LOOPAI_LAST_HOUR, "Runs for which LoopAI was asked in the last hour");
    describe_gauge!(LOOPAI_WAITING, "Runs that wait for a place at LoopAI, or for LoopAI");
    describe_gauge!(
        LOOPAI_BREAKER_STATE,
        "Whether LoopAI is asked: 0 yes; 1 it is back, ever more are; 2 it is away, one tries at times"
    );
    describe_counter!(AUDIT_ENTRIES_DROPPED, "Refusals that are not in the audit, by why");
}

/// A request was answered, or abandoned by its client (`status` is then `aborted`).
pub(crate) fn request(method: &'static str, route: String, status: String, elapsed: Duration) {
    counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!(REQUEST_TIME, "method" => method, "route" => route).record(elapsed);
}

/// A submission was answered: `accepted`, `replayed`, or the code of its refusal.
pub(crate) fn submission(outcome: &'static str) {
    counter!(SUBMISSIONS, "outcome" => outcome).increment(1);
}

/// A refusal was not written into the audit: there were too many of one `client`, or in this `process`, or
/// the `database` did not take it.
pub(crate) fn audit_entry_dropped(why: &'static str) {
    counter!(AUDIT_ENTRIES_DROPPED, "why" => why).increment(1);
}

/// How many runs wait to be started.
pub(crate) fn queued_runs(count: i64) {
    // Beyond 2^53 runs the gauge would be off by one.
    gauge!(QUEUED_RUNS).set(count as f64);
}

/// How much LoopAI has to do.
pub(crate) fn loopai(now: LoopAiUsage) {
    // Exact up to 2^53, as above.
    gauge!(LOOPAI_EXECUTIONS).set(now.running as f64);
    gauge!(LOOPAI_LAST_HOUR).set(now.last_hour as f64);
    gauge!(LOOPAI_WAITING).set(now.waiting as f64);
    gauge!(LOOPAI_BREAKER_STATE).set(match now.breaker {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    });
}

/// Counts as an open event stream until it is dropped.
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
