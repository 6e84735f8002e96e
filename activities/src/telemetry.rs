//! Names, labels and descriptions of the worker's metrics.

use crate::loopai::error::LoopAiError;
use diagflow_store::{FailureCode, LoopAiLimits, Status};
use diagflow_workflows::contract::DeliverVerdict;
use metrics::{counter, describe_counter, describe_gauge, gauge};

const LOOPAI_REQUESTS: &str = "diagflow_loopai_requests_total";
const DEFERRED: &str = "diagflow_loopai_deferred_total";
const DUPLICATE_EXECUTIONS: &str = "diagflow_loopai_duplicate_executions_total";
const LIMIT: &str = "diagflow_loopai_limit";
const DELIVERIES: &str = "diagflow_deliveries_total";
const ENDED: &str = "diagflow_submissions_ended_total";

/// Describes the metrics and initialises the counters to zero, so that a rate includes the first event.
pub(crate) fn describe(limits: LoopAiLimits) {
    describe_counter!(
        LOOPAI_REQUESTS,
        "Requests to LoopAI, by call and by outcome: ok or a failure code"
    );
    describe_counter!(
        DEFERRED,
        "Requests to LoopAI that were deferred, by reason; they are retried"
    );
    describe_counter!(
        DUPLICATE_EXECUTIONS,
        "Duplicate executions that LoopAI started for repeated requests; their results are not used"
    );
    describe_gauge!(
        LIMIT,
        "Limits on concurrent LoopAI executions and on executions started within an hour; 0 means no limit"
    );
    describe_counter!(DELIVERIES, "Settled e-mail deliveries, by outcome");
    describe_counter!(ENDED, "Submissions that reached a final status, by status");
    // The conversion to f64 is exact up to 2^53.
    gauge!(LIMIT, "limit" => "max_executions")
        .set(limits.max_executions.unwrap_or_default() as f64);
    gauge!(LIMIT, "limit" => "max_per_hour").set(limits.max_per_hour.unwrap_or_default() as f64);
    counter!(DUPLICATE_EXECUTIONS).increment(0);
    for call in [Call::Diagnose, Call::Status] {
        counter!(LOOPAI_REQUESTS, "call" => call.name(), "outcome" => OK).increment(0);
    }
    for verdict in [DeliverVerdict::Sent, DeliverVerdict::Unknown, DeliverVerdict::Failed] {
        counter!(DELIVERIES, "outcome" => outcome(verdict)).increment(0);
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

/// Call this only for a delivery that was settled just now, because a *Reset* must not count it again.
pub(crate) fn delivery_settled(verdict: DeliverVerdict) {
    counter!(DELIVERIES, "outcome" => outcome(verdict)).increment(1);
}

fn outcome(verdict: DeliverVerdict) -> &'static str {
    match verdict {
        DeliverVerdict::Sent => "sent",
        DeliverVerdict::Unknown => "unknown",
        DeliverVerdict::Failed => "failed",
    }
}

pub(crate) fn submission_ended(status: Status) {
    counter!(ENDED, "status" => status.name()).increment(1);
}
