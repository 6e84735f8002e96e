//! Tests of the conditions for sending a request to LoopAI: slots, the hourly limit and the circuit breaker.

mod breaker;
mod queue;

use super::Records;
use diagflow_store::{
    Adoption, LoopAiLimits, Permit, RunKey, SlotOutcome, StoreResult, WaitReason,
};
use std::time::Duration;
use uuid::Uuid;

const ONE: LoopAiLimits = LoopAiLimits { max_executions: Some(1), max_per_hour: None };
const SECOND: Duration = Duration::from_secs(1);

async fn request_slot(records: &Records, run: RunKey, limits: LoopAiLimits) -> SlotOutcome {
    records.store.acquire_loopai_slot(run, limits).await.expect("a response")
}

async fn granted(records: &Records, run: RunKey, limits: LoopAiLimits) -> Permit {
    match request_slot(records, run, limits).await {
        SlotOutcome::Granted(permit) => permit,
        other => panic!("{other:?}"),
    }
}

/// Returns why a run has to wait and when it should try again.
async fn deferred(records: &Records, run: RunKey, limits: LoopAiLimits) -> (WaitReason, Duration) {
    match request_slot(records, run, limits).await {
        SlotOutcome::Deferred { reason, after } => (reason, after),
        other => panic!("{other:?}"),
    }
}

async fn steps(records: &Records, run: RunKey) -> Vec<&'static str> {
    let events = records.store.events(run.submission, 0).await.expect("events");
    events.iter().map(|event| event.step.name()).collect()
}

/// Adopts a run as its worker would. After a reset, `first_execution_id` differs from the current execution id.
async fn adopt(
    records: &Records,
    run: RunKey,
    first_execution_id: Uuid,
    execution: Option<&str>,
) -> StoreResult<RunKey> {
    let now = Uuid::new_v4().to_string();
    match records.store.adopt(run, &now, &first_execution_id.to_string(), execution).await? {
        Adoption::Current { run, .. } => Ok(run),
        other => panic!("{other:?}"),
    }
}
