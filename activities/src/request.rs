//! Asking LoopAI for a diagnosis: within this worker's room, and within what all workers together may ask.

use crate::failure::{blob_failure, non_retryable, retryable, store_failure};
use crate::loopai::{DiagnoseRequest, ImageTransfer, LoopAiClient, LoopAiError, RequestLimiter};
use crate::telemetry;
use diagflow_store::{
    Failpoint, FailureCode, File, LoopAiLimits, Permit, RequestHealth, RunKey, SlotOutcome, Store,
    SubmissionId, WaitReason,
};
use std::time::Duration;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

/// What came of the wish to ask.
pub(crate) enum RequestOutcome {
    /// LoopAI took it, and named its execution.
    Accepted(String),
    /// The call failed; perhaps it is known when to come again.
    Failed(LoopAiError, Option<Duration>),
    /// The submission has ended meanwhile.
    Ended,
    /// A newer run took over meanwhile.
    Superseded,
}

/// Asks LoopAI for diagnoses.
pub struct DiagnosisRequester {
    /// The records.
    pub store: Store,
    /// How LoopAI gets the patients' images.
    pub images: ImageTransfer,
    /// The platform that diagnoses.
    pub loopai: LoopAiClient,
    /// Bounds the requests to LoopAI that this worker has under way.
    pub limiter: RequestLimiter,
    /// Bounds what LoopAI is asked by all workers.
    pub limits: LoopAiLimits,
}

impl DiagnosisRequester {
    /// Posts a run's submission to LoopAI, if there is room for it and LoopAI is not away.
    pub(crate) async fn request_diagnosis(
        &self,
        ctx: &ActivityContext,
        run: RunKey,
    ) -> Result<RequestOutcome, ActivityError> {
        // After a local attempt an ordinary one follows at once: a wish to wait would only cost events.
        let delay = |retry_after: Option<Duration>| retry_after.filter(|_| !ctx.info().is_local);
        let files = self.store.files(run.submission).await.map_err(store_failure)?;
        let bytes = self.images.embedded_bytes(&files);
        let _worker_permit = match self.limiter.try_acquire(run, bytes) {
            Ok(permit) => permit,
            Err(rejected) => {
                let detail = "this worker has as many requests under way as it may";
                return Err(retryable(
                    FailureCode::WorkerBusy,
                    detail,
                    delay(rejected.retry_after),
                ));
            }
        };
        let permit =
            match self.store.acquire_loopai_slot(run, self.limits).await.map_err(store_failure)? {
                SlotOutcome::Granted(permit) => permit,
                SlotOutcome::Deferred { reason, after } => {
                    let (code, detail) = wait_code(reason);
                    telemetry::request_deferred(code);
                    return Err(retryable(code, detail, delay(Some(after))));
                }
                SlotOutcome::Ended => return Ok(RequestOutcome::Ended),
                SlotOutcome::Superseded => return Ok(RequestOutcome::Superseded),
            };
        Failpoint::AfterSlotGranted.pass().await;
        let request = match self.build_request(run, files).await {
            Ok(request) => request,
            Err(error) => {
                let result = self.store.return_loopai_permit(permit).await;
                result.unwrap_or_else(|error| tracing::warn!(%error, "cannot give the turn back"));
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

    /// Lets all workers know how a request went. What LoopAI answered counts, whether they can be told or not.
    async fn record_health(&self, permit: Permit, health: RequestHealth) -> Option<Duration> {
        let result = self.store.record_loopai_request(permit, health).await;
        result.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot note how LoopAI is");
            None
        })
    }

    /// When to look again at an execution after a look that failed so: not before LoopAI was tried again, if
    /// it is away.
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

    /// What LoopAI gets for a run.
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
            .ok_or_else(|| non_retryable(FailureCode::SubmissionNotFound, run.submission))?;
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

/// The stable code for what a run waits for, and more about it.
fn wait_code(reason: WaitReason) -> (FailureCode, &'static str) {
    match reason {
        WaitReason::Slot => {
            (FailureCode::LoopaiNoFreeSlot, "as many executions are under way as may be at once")
        }
        WaitReason::HourlyLimit => {
            (FailureCode::LoopaiHourlyLimit, "as many executions were begun in an hour as may be")
        }
        WaitReason::LoopAiUnavailable => {
            (FailureCode::LoopaiCircuitOpen, "LoopAI is taken for away")
        }
    }
}
