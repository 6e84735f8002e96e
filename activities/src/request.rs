//! Requests a diagnosis from LoopAI, subject to the limits for this worker ([`RequestLimiter`]) and the limits shared
//! by all workers (slots, hourly limit and circuit breaker in the store).

use crate::failure::{blob_failure, fail, store_failure};
use crate::loopai::{DiagnoseRequest, ImageTransfer, LoopAiClient, LoopAiError, RequestLimiter};
use crate::telemetry;
use diagflow_store::{
    Failpoint, FailureCode, File, LoopAiLimits, NextRequest, Permit, RequestHealth, RunKey,
    SlotOutcome, Store, SubmissionId, WaitReason,
};
use std::time::Duration;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

pub(crate) enum RequestOutcome {
    /// LoopAI accepted the request and returned an execution id.
    Accepted(String),
    /// The request failed. The next attempt must wait at least this long, if a delay is given.
    Failed(LoopAiError, Option<Duration>),
    /// The request failed again even though LoopAI accepts other requests. The run must end.
    GivenUp(LoopAiError),
    Ended,
    Superseded,
}

pub struct DiagnosisRequester {
    pub store: Store,
    pub images: ImageTransfer,
    pub loopai: LoopAiClient,
    /// Limits this worker's requests.
    pub limiter: RequestLimiter,
    /// Limits shared by all workers.
    pub limits: LoopAiLimits,
}

impl DiagnosisRequester {
    pub(crate) async fn request_diagnosis(
        &self,
        ctx: &ActivityContext,
        run: RunKey,
    ) -> Result<RequestOutcome, ActivityError> {
        // A local activity must not request a delay because the SDK would turn it into a timer, which adds events to
        // the history.
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
                    |error| tracing::warn!(%error, "cannot release the LoopAI permit"),
                );
                return Err(error);
            }
        };
        Ok(match self.loopai.diagnose(&request).await {
            Ok(execution_id) => {
                self.record_health(permit, RequestHealth::Accepted).await;
                RequestOutcome::Accepted(execution_id)
            }
            Err(error) => match self.record_health(permit, error.health()).await {
                NextRequest::GiveUp => RequestOutcome::GivenUp(error),
                NextRequest::Retry(after) => {
                    let after = delay(after).max(error.retry_after());
                    RequestOutcome::Failed(error, after)
                }
            },
        })
    }

    /// Reports a request's outcome to the circuit breaker. Database errors are only logged because they do not
    /// invalidate LoopAI's response.
    async fn record_health(&self, permit: Permit, health: RequestHealth) -> NextRequest {
        let result = self.store.record_loopai_request(permit, health).await;
        result.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot record LoopAI's health");
            NextRequest::Retry(None)
        })
    }

    /// Returns the delay before a failed poll is retried, which lasts at least until the circuit breaker admits a
    /// request.
    pub(crate) async fn poll_retry_after(
        &self,
        submission: SubmissionId,
        error: &LoopAiError,
    ) -> Option<Duration> {
        let breaker_delay = if error.health().is_unavailable() {
            self.store.loopai_retry_after(submission).await.unwrap_or_default()
        } else {
            None
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
        WaitReason::HourlyLimit => {
            (FailureCode::LoopaiHourlyLimit, "the hourly limit has been reached")
        }
        WaitReason::LoopAiUnavailable => {
            (FailureCode::LoopaiCircuitOpen, "the circuit breaker is open")
        }
        WaitReason::Paused => (FailureCode::LoopaiPaused, "requests to LoopAI are paused"),
    }
}
