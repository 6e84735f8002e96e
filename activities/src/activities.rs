//! The workflow's activities. Every activity is idempotent, as its doc comment explains.

use crate::ends::{complete_run, count_end};
use crate::failure::{fail, store_failure};
use crate::loopai::{ErrorClass, ExecutionStatus, LoopAiError};
use crate::mail::Mailer;
use crate::request::{DiagnosisRequester, RequestOutcome};
use crate::telemetry;
use diagflow_store::{
    Adoption, DeliveryKind, EndStatus, Failpoint, FailureCode, PauseTarget, RunEnd, RunKey, Status,
    Store, SubmissionId, TransitionOutcome,
};
use diagflow_workflows::contract::{
    CheckExecutionResult, CheckInput, DeliverInput, DeliverResult, DeliveryRef, EndDiagnosisResult,
    EndInput, ExecutionId, RequestDiagnosisResult, RunOutcome, RunRef, RunStatus, definitions,
};
use std::sync::Arc;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

pub struct Activities {
    pub store: Store,
    pub requester: DiagnosisRequester,
    pub mailer: Mailer,
}

#[activities]
impl Activities {
    /// Idempotent because the execution id is recorded, and because LoopAI recognises a repeated request by its
    /// reference `{submission}-{run}`.
    #[activity(definition = definitions::RequestDiagnosis)]
    pub async fn request_diagnosis(
        self: Arc<Self>,
        ctx: ActivityContext,
        run: RunRef,
    ) -> Result<RequestDiagnosisResult, ActivityError> {
        let Some(adopted) = self.adopt(&ctx, &run, None).await? else {
            return Ok(RequestDiagnosisResult::Superseded);
        };
        if adopted.status.is_final() {
            return Ok(RequestDiagnosisResult::Ended(self.recorded_end(adopted.run).await?));
        }
        Failpoint::BeforeRequest.pass().await;
        let execution_id = match adopted.execution_id {
            Some(execution_id) => execution_id,
            None => match self.requester.request_diagnosis(&ctx, adopted.run).await? {
                RequestOutcome::Accepted(execution_id) => execution_id,
                RequestOutcome::Ended => {
                    return Ok(RequestDiagnosisResult::Ended(
                        self.recorded_end(adopted.run).await?,
                    ));
                }
                RequestOutcome::Superseded => return Ok(RequestDiagnosisResult::Superseded),
                RequestOutcome::GivenUp(error) => {
                    let code = FailureCode::LoopaiRepeatedFailure;
                    return self.end_as_failed(adopted.run, code, &error).await;
                }
                RequestOutcome::Failed(error, _) if error.class() == ErrorClass::Permanent => {
                    return self.end_as_failed(adopted.run, error.code(), &error).await;
                }
                RequestOutcome::Failed(error, _) if error.class() == ErrorClass::NeedsOperator => {
                    let code = error.code().to_string();
                    tracing::error!(code, %error, "request to LoopAI failed");
                    return Ok(RequestDiagnosisResult::Refused { code });
                }
                RequestOutcome::Failed(error, after) => {
                    return Err(fail(error.code(), &error, after));
                }
            },
        };
        self.record_request(adopted.run, execution_id).await
    }

    /// Idempotent because polling changes nothing at LoopAI, and the end of the run is stored with a compare-and-set.
    #[activity(definition = definitions::CheckExecution)]
    pub async fn check_execution(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: CheckInput,
    ) -> Result<CheckExecutionResult, ActivityError> {
        let execution_id = input.execution_id.as_str();
        let Some(adopted) = self.adopt(&ctx, &input.run, Some(execution_id)).await? else {
            return Ok(CheckExecutionResult::Superseded);
        };
        if adopted.status.is_final() {
            return Ok(CheckExecutionResult::Ended(self.recorded_end(adopted.run).await?));
        }
        if self.store.is_paused(PauseTarget::LoopaiRequests).await.map_err(store_failure)? {
            // The next poll follows at its usual time. The final poll is retried until the pause ends, so no result is
            // missed.
            let detail = "requests to LoopAI are paused";
            return Err(fail(FailureCode::LoopaiPaused, detail, None));
        }
        Failpoint::BeforePoll.pass().await;
        let response = self.requester.loopai.execution_status(execution_id).await;
        Failpoint::AfterPollAnswered.pass().await;
        let stored = match response {
            Ok(ExecutionStatus::Running(status)) => {
                log_progress(adopted.run, &status);
                return Ok(CheckExecutionResult::Running { status: Some(status) });
            }
            Ok(ExecutionStatus::Completed(result)) => {
                complete_run(&self.store, adopted.run, &result).await
            }
            Ok(ExecutionStatus::Failed(error)) => {
                let ending = RunEnd {
                    status: EndStatus::Failed,
                    code: FailureCode::LoopaiFailed.to_string(),
                    detail: error,
                };
                let stored = self.store.end_run(adopted.run, &ending).await;
                count_end(stored, Status::Failed)
            }
            Err(error) => {
                let code = error.code().to_string();
                tracing::warn!(code, %error, "poll failed");
                let after = self.requester.poll_retry_after(adopted.run.submission, &error).await;
                let retry_after_ms = after.map(|delay| delay.as_millis() as u64);
                return Ok(match error.class() {
                    ErrorClass::Transient => {
                        CheckExecutionResult::Unreachable { code, retry_after_ms }
                    }
                    ErrorClass::NeedsOperator | ErrorClass::Permanent => {
                        CheckExecutionResult::Refused { code }
                    }
                });
            }
        };
        let stored = stored.map_err(store_failure)?;
        Failpoint::AfterPollRecorded.pass().await;
        Ok(match stored {
            TransitionOutcome::Superseded => CheckExecutionResult::Superseded,
            TransitionOutcome::Applied(()) | TransitionOutcome::Conflict(_) => {
                CheckExecutionResult::Ended(self.recorded_end(adopted.run).await?)
            }
        })
    }

    /// Idempotent because the end of the run is stored with a compare-and-set, which never overwrites a recorded end.
    #[activity(definition = definitions::EndDiagnosis)]
    pub async fn end_diagnosis(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: EndInput,
    ) -> Result<EndDiagnosisResult, ActivityError> {
        let Some(adopted) = self.adopt(&ctx, &input.run, None).await? else {
            return Ok(EndDiagnosisResult::Superseded);
        };
        Failpoint::BeforeEndRecorded.pass().await;
        let outcome = match input.status {
            RunStatus::TimedOut => EndStatus::TimedOut,
            RunStatus::Cancelled => EndStatus::Cancelled,
            RunStatus::Failed
            | RunStatus::Pending
            | RunStatus::Processing
            | RunStatus::Completed => EndStatus::Failed,
        };
        let mut ending = RunEnd { status: outcome, code: input.code, detail: String::new() };
        if outcome == EndStatus::TimedOut {
            self.explain_timeout(&adopted, &mut ending).await?;
        }
        let stored = self.store.end_run(adopted.run, &ending).await;
        let stored = count_end(stored, ending.status.final_status()).map_err(store_failure)?;
        Failpoint::AfterEndRecorded.pass().await;
        Ok(match stored {
            TransitionOutcome::Superseded => EndDiagnosisResult::Superseded,
            TransitionOutcome::Applied(()) | TransitionOutcome::Conflict(_) => {
                EndDiagnosisResult::Ended(self.recorded_end(adopted.run).await?)
            }
        })
    }

    /// Idempotent because the mailer claims the delivery in the ledger before sending the message data, and records the
    /// outcome afterwards.
    #[activity(definition = definitions::Deliver)]
    pub async fn deliver(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: DeliverInput,
    ) -> Result<DeliverResult, ActivityError> {
        let delivery = input
            .delivery_id
            .as_str()
            .parse()
            .map_err(|_| fail(FailureCode::DeliveryNotFound, "invalid id", None))?;
        if input.give_up {
            self.mailer.give_up(&self.store, delivery).await
        } else {
            self.mailer.deliver(&self.store, delivery).await
        }
    }
}

struct Adopted {
    run: RunKey,
    status: Status,
    execution_id: Option<String>,
}

impl Activities {
    /// Finds the run that this workflow execution belongs to. Returns `None` if that run has been superseded.
    async fn adopt(
        &self,
        ctx: &ActivityContext,
        run: &RunRef,
        execution_id: Option<&str>,
    ) -> Result<Option<Adopted>, ActivityError> {
        let submission: SubmissionId = run
            .submission_id
            .as_str()
            .parse()
            .map_err(|_| fail(FailureCode::SubmissionNotFound, "invalid id", None))?;
        let started_as = RunKey { submission, number: run.run };
        let temporal_run_id = ctx.info().workflow_run_id.as_deref().unwrap_or_default();
        let adoption = self
            .store
            .adopt(started_as, temporal_run_id, run.first_run_id.as_str(), execution_id)
            .await
            .map_err(store_failure)?;
        match adoption {
            Adoption::Current { run, status, execution_id } => {
                Ok(Some(Adopted { run, status, execution_id }))
            }
            Adoption::Superseded => Ok(None),
            Adoption::NotFound => Err(fail(FailureCode::SubmissionNotFound, submission, None)),
        }
    }

    /// Replaces the end of a run that timed out if LoopAI is not the reason that there is no result.
    async fn explain_timeout(
        &self,
        adopted: &Adopted,
        ending: &mut RunEnd,
    ) -> Result<(), ActivityError> {
        if self.keeps_failing(adopted.run).await? {
            ending.status = EndStatus::Failed;
            ending.code = FailureCode::LoopaiRepeatedFailure.to_string();
        } else if adopted.status == Status::Pending
            && self.store.is_paused(PauseTarget::LoopaiRequests).await.map_err(store_failure)?
        {
            ending.code = FailureCode::LoopaiPaused.to_string();
        }
        Ok(())
    }

    /// Returns whether LoopAI never accepted the run's request, even though it accepts other requests.
    async fn keeps_failing(&self, run: RunKey) -> Result<bool, ActivityError> {
        let submission = self.store.submission(run.submission).await.map_err(store_failure)?;
        Ok(submission.is_some_and(|submission| {
            submission.error_code.as_deref() == Some(FailureCode::LoopaiRepeatedFailure.as_str())
        }))
    }

    /// Records that LoopAI accepted the run's request and started `execution_id`.
    async fn record_request(
        &self,
        run: RunKey,
        execution_id: String,
    ) -> Result<RequestDiagnosisResult, ActivityError> {
        Failpoint::AfterRequestAnswered.pass().await;
        let agent_id = self.requester.loopai.agent_id();
        let stored = self.store.start_processing(run, agent_id, &execution_id);
        let stored = stored.await.map_err(store_failure)?;
        Failpoint::AfterRequestRecorded.pass().await;
        Ok(match stored {
            // `recorded` differs from `execution_id` if a repeated request started a second execution.
            TransitionOutcome::Applied(recorded) => {
                if recorded != execution_id {
                    tracing::warn!(
                        followed = %recorded,
                        duplicate = %execution_id,
                        "LoopAI ignored the idempotency key and started a second execution for a repeated request"
                    );
                    telemetry::duplicate_execution();
                }
                RequestDiagnosisResult::Accepted {
                    execution_id: ExecutionId::new(recorded),
                    agent_id: agent_id.into(),
                }
            }
            TransitionOutcome::Conflict(_) => {
                RequestDiagnosisResult::Ended(self.recorded_end(run).await?)
            }
            TransitionOutcome::Superseded => RequestDiagnosisResult::Superseded,
        })
    }

    async fn end_as_failed(
        &self,
        run: RunKey,
        code: FailureCode,
        error: &LoopAiError,
    ) -> Result<RequestDiagnosisResult, ActivityError> {
        let ending =
            RunEnd { status: EndStatus::Failed, code: code.to_string(), detail: error.to_string() };
        let stored = self.store.end_run(run, &ending).await;
        Ok(match count_end(stored, Status::Failed).map_err(store_failure)? {
            TransitionOutcome::Superseded => RequestDiagnosisResult::Superseded,
            TransitionOutcome::Applied(()) | TransitionOutcome::Conflict(_) => {
                RequestDiagnosisResult::Ended(self.recorded_end(run).await?)
            }
        })
    }

    /// Returns the submission's recorded end and the delivery that notifies the patient.
    async fn recorded_end(&self, run: RunKey) -> Result<RunOutcome, ActivityError> {
        let submission = self
            .store
            .submission(run.submission)
            .await
            .map_err(store_failure)?
            .ok_or_else(|| fail(FailureCode::SubmissionNotFound, run.submission, None))?;
        let (status, kind) = match submission.status {
            Status::Completed => (RunStatus::Completed, DeliveryKind::Result),
            Status::Failed => (RunStatus::Failed, DeliveryKind::Failed),
            Status::TimedOut => (RunStatus::TimedOut, DeliveryKind::TimedOut),
            Status::Cancelled => (RunStatus::Cancelled, DeliveryKind::Cancelled),
            Status::Pending | Status::Processing => {
                return Err(fail(FailureCode::EndNotRecorded, submission.status, None));
            }
        };
        let deliveries = self.store.deliveries(run.submission).await.map_err(store_failure)?;
        let due = deliveries.iter().rev().find(|delivery| delivery.kind == kind);
        Ok(RunOutcome {
            status,
            code: submission.error_code,
            delivery_id: due.map(|delivery| DeliveryRef::new(delivery.id)),
        })
    }
}

/// Logs statuses missing from LoopAI's contract at a level that is visible by default.
fn log_progress(run: RunKey, status: &str) {
    if status == "RUNNING" {
        tracing::debug!(submission = %run.submission, status, "LoopAI reports an execution in progress");
    } else {
        tracing::info!(submission = %run.submission, status, "LoopAI reports an undocumented status");
    }
}
