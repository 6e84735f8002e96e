//! Names, labels and descriptions of the worker's metrics.

use crate::loopai::error::LoopAiError;
use diagflow_store::{FailureCode, LoopAiLimits, Status};
use diagflow_workflows::contract::DeliverResult;
use metrics::{counter, describe_counter, describe_gauge, gauge};

const LOOPAI_REQUESTS: &str = "diagflow_loopai_requests_total";
const DEFERRED: &str = "diagflow_loopai_deferred_total";
const DUPLICATE_EXECUTIONS: &str = "diagflow_loopai_duplicate_executions_total";
const LIMIT: &str = "diagflow_loopai_limit";
const DELIVERIES: &str = "diagflow_deliveries_total";
const ENDED: &str = "diagflow_submissions_ended_total";

/// Describes the metrics and initialises the counters to zero so that rates include the first event.
pub(crate) fn describe(limits: LoopAiLimits) {
    describe_counter!(
        LOOPAI_REQUESTS,
        "Requests to LoopAI, by call and outcome (ok or a failure code)"
    );
    describe_counter!(DEFERRED, "Requests to LoopAI deferred for a later retry, by reason");
    describe_counter!(
        DUPLICATE_EXECUTIONS,
        "Duplicate executions started by LoopAI for repeated requests, whose results are discarded"
    );
    describe_gauge!(
        LIMIT,
        "Limits on concurrent LoopAI executions and executions per hour; 0 means no limit"
    );
    describe_counter!(DELIVERIES, "Settled e-mail deliveries, by outcome");
    describe_counter!(ENDED, "Submissions that reached a final status, by status");
    // Converting the limits to f64 is exact up to 2^53.
    gauge!(LIMIT, "limit" => "max_executions")
        .set(limits.max_executions.unwrap_or_default() as f64);
    gauge!(LIMIT, "limit" => "max_per_hour").set(limits.max_per_hour.unwrap_or_default() as f64);
    counter!(DUPLICATE_EXECUTIONS).increment(0);
    for call in [Call::Diagnose, Call::Status] {
        counter!(LOOPAI_REQUESTS, "call" => call.name(), "outcome" => OK).increment(0);
    }
    for result in [DeliverResult::Sent, DeliverResult::Unknown, DeliverResult::Failed] {
        counter!(DELIVERIES, "outcome" => outcome(result)).increment(0);
    }
    for status in [Status::Completed, Status::Failed, Status::TimedOut, Status::Cancelled] {
        counter!(ENDED, "status" => status.name()).increment(0);
    }
}

const OK: &str = "ok";

#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    Diagnose,
    Status,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Diagnose => "diagnose",
            Self::Status => "status",
        }
    }
}

pub(crate) fn loopai_request<T>(call: Call, outcome: &Result<T, LoopAiError>) {
    let outcome = outcome.as_ref().map_or_else(|error| error.code().as_str(), |_| OK);
    counter!(LOOPAI_REQUESTS, "call" => call.name(), "outcome" => outcome).increment(1);
}

pub(crate) fn request_deferred(code: FailureCode) {
    counter!(DEFERRED, "reason" => code.as_str()).increment(1);
}

pub(crate) fn duplicate_execution() {
    counter!(DUPLICATE_EXECUTIONS).increment(1);
}

/// Counts a settled delivery. Call this only when the delivery becomes settled; otherwise, a *Reset* in Temporal would
/// count it again.
pub(crate) fn delivery_settled(result: DeliverResult) {
    counter!(DELIVERIES, "outcome" => outcome(result)).increment(1);
}

fn outcome(result: DeliverResult) -> &'static str {
    match result {
        DeliverResult::Sent => "sent",
        DeliverResult::Unknown => "unknown",
        DeliverResult::Failed => "failed",
    }
}

pub(crate) fn submission_ended(status: Status) {
    counter!(ENDED, "status" => status.name()).increment(1);
}
