//! Requests a diagnosis from LoopAI, within the limits of this worker ([`RequestLimiter`]) and of all workers together
//! (slots, hourly limit and circuit breaker in the store).

use crate::failure::{blob_failure, fail, store_failure};
use crate::loopai::{DiagnoseRequest, ImageTransfer, LoopAiClient, LoopAiError, RequestLimiter};
use crate::telemetry;
use diagflow_store::{
    Failpoint, FailureCode, File, LoopAiLimits, Permit, RequestHealth, RunKey, SlotOutcome, Store,
    SubmissionId, WaitReason,
};
use std::time::Duration;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

pub(crate) enum RequestOutcome {
    /// LoopAI accepted the request and returned this execution id.
    Accepted(String),
    /// The error, and the delay before the next attempt, if one is known.
    Failed(LoopAiError, Option<Duration>),
    Ended,
    Superseded,
}

pub struct DiagnosisRequester {
    pub store: Store,
    pub images: ImageTransfer,
    pub loopai: LoopAiClient,
    /// Limits the requests of this worker.
    pub limiter: RequestLimiter,
    /// Limits across all workers.
    pub limits: LoopAiLimits,
}

impl DiagnosisRequester {
    pub(crate) async fn request_diagnosis(
        &self,
        ctx: &ActivityContext,
        run: RunKey,
    ) -> Result<RequestOutcome, ActivityError> {
        // A local attempt returns no delay, because the workflow would wait with a timer, which costs history events.
        let delay = |retry_after: Option<Duration>| retry_after.filter(|_| !ctx.info().is_local);
        let files = self.store.files(run.submission).await.map_err(store_failure)?;
        let bytes = self.images.embedded_bytes(&files);
        let _worker_permit = match self.limiter.try_acquire(run, bytes) {
            Ok(permit) => permit,
            Err(rejected) => {
                let detail = "this worker has reached its limit of concurrent requests";
                return Err(fail(FailureCode::WorkerBusy, detail, delay(rejected.retry_after)));
            }
        };
        let permit =
            match self.store.acquire_loopai_slot(run, self.limits).await.map_err(store_failure)? {
                SlotOutcome::Granted(permit) => permit,
                SlotOutcome::Deferred { reason, after } => {
                    let (code, detail) = wait_code(reason);
                    telemetry::request_deferred(code);
                    return Err(fail(code, detail, delay(Some(after))));
                }
                SlotOutcome::Ended => return Ok(RequestOutcome::Ended),
                SlotOutcome::Superseded => return Ok(RequestOutcome::Superseded),
            };
        Failpoint::AfterSlotGranted.pass().await;
        let request = match self.build_request(run, files).await {
            Ok(request) => request,
            Err(error) => {
                let result = self.store.release_loopai_permit(permit).await;
                result.unwrap_or_else(
                    |error| tracing::warn!(%error, "cannot release the permit for LoopAI"),
                );
                return Err(error);
            }
        };
        Ok(match self.loopai.diagnose(&request).await {
            Ok(execution_id) => {
                self.record_health(permit, RequestHealth::Healthy).await;
                RequestOutcome::Accepted(execution_id)
            }
            Err(error) => {
                let health = if error.trips_breaker() {
                    RequestHealth::Unavailable
                } else {
                    RequestHealth::Healthy
                };
                let after =
                    delay(self.record_health(permit, health).await).max(error.retry_after());
                RequestOutcome::Failed(error, after)
            }
        })
    }

    /// Reports the outcome of a request to the circuit breaker. An error is only logged, because LoopAI's response is
    /// valid nevertheless.
    async fn record_health(&self, permit: Permit, health: RequestHealth) -> Option<Duration> {
        let result = self.store.record_loopai_request(permit, health).await;
        result.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot record the health of LoopAI");
            None
        })
    }

    /// Delay before the next poll after a failed one. It lasts at least until the circuit breaker admits a request
    /// again.
    pub(crate) async fn poll_retry_after(
        &self,
        submission: SubmissionId,
        error: &LoopAiError,
    ) -> Option<Duration> {
        let breaker_delay = match error.trips_breaker() {
            true => self.store.loopai_retry_after(submission).await.unwrap_or_default(),
            false => None,
        };
        breaker_delay.max(error.retry_after())
    }

    async fn build_request(
        &self,
        run: RunKey,
        files: Vec<File>,
    ) -> Result<DiagnoseRequest, ActivityError> {
        let submission = self
            .store
            .submission(run.submission)
            .await
            .map_err(store_failure)?
            .ok_or_else(|| fail(FailureCode::SubmissionNotFound, run.submission, None))?;
        let mut images = Vec::new();
        for file in files {
            images.push(self.images.image(file).await.map_err(blob_failure)?);
        }
        Ok(DiagnoseRequest {
            submission_id: run.submission.to_string(),
            reference: format!("{}-{}", run.submission, run.number),
            comments: submission.comments,
            images,
        })
    }
}

fn wait_code(reason: WaitReason) -> (FailureCode, &'static str) {
    match reason {
        WaitReason::Slot => (FailureCode::LoopaiNoFreeSlot, "all slots are in use"),
        WaitReason::HourlyLimit => (FailureCode::LoopaiHourlyLimit, "the hourly limit is reached"),
        WaitReason::LoopAiUnavailable => {
            (FailureCode::LoopaiCircuitOpen, "the circuit breaker is open")
        }
    }
}
