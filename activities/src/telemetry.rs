//! Every metric that a worker writes, by name and meaning. Its `/metrics` shows them.

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

/// Tells the recorder what the metrics mean, and begins at zero: a rate needs the first event too.
pub(crate) fn describe(limits: LoopAiLimits) {
    describe_counter!(
        LOOPAI_REQUESTS,
        "Calls to LoopAI, by call and outcome: ok, or the fault's code"
    );
    describe_counter!(DEFERRED, "Requests that LoopAI was not sent, by why; they come again");
    describe_counter!(
        DUPLICATE_EXECUTIONS,
        "Executions that LoopAI began for a repeated request and nobody follows, as far as is known"
    );
    describe_gauge!(
        LIMIT,
        "How much LoopAI may be asked: executions at_once, and an_hour; 0 is no limit"
    );
    describe_counter!(DELIVERIES, "E-mails that were settled, by outcome");
    describe_counter!(ENDED, "Submissions that were ended, by status");
    // Exact up to 2^53.
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

/// What LoopAI is asked.
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

/// LoopAI was called. What it answers about an execution is counted with the submission's end.
pub(crate) fn loopai_request<T>(call: Call, outcome: &Result<T, LoopAiError>) {
    let outcome = outcome.as_ref().map_or_else(|error| error.code().as_str(), |_| OK);
    counter!(LOOPAI_REQUESTS, "call" => call.name(), "outcome" => outcome).increment(1);
}

/// A request was not sent, for the reason that this code tells.
pub(crate) fn request_deferred(code: FailureCode) {
    counter!(DEFERRED, "reason" => code.as_str()).increment(1);
}

/// LoopAI began a second execution for a run that follows its first.
pub(crate) fn duplicate_execution() {
    counter!(DUPLICATE_EXECUTIONS).increment(1);
}

/// A delivery was settled just now, not found settled: a *Reset* must not count it again.
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

/// A submission was ended by a run.
pub(crate) fn submission_ended(status: Status) {
    counter!(ENDED, "status" => status.name()).increment(1);
}
