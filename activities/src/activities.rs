//! The activities. Each is idempotent; its doc comment gives the reason.

use crate::failure::{fail, store_failure};
use crate::loopai::{ErrorClass, ExecutionStatus, LoopAiError};
use crate::mail::Mailer;
use crate::request::{DiagnosisRequester, RequestOutcome};
use crate::telemetry;
use diagflow_store::{
    Adoption, DeliveryKind, EndStatus, Failpoint, FailureCode, RunEnd, RunKey, Status, Store,
    StoreResult, SubmissionId, TransitionOutcome,
};
use diagflow_workflows::contract::{
    CheckInput, CheckVerdict, DeliverInput, DeliverVerdict, DeliveryRef, EndInput, EndVerdict,
    ExecutionId, RequestVerdict, RunOutcome, RunRef, RunStatus, definitions,
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
    /// Idempotent, because the execution id is recorded and LoopAI recognises the reference `{submission}-{run}`.
    #[activity(definition = definitions::RequestDiagnosis)]
    pub async fn request_diagnosis(
        self: Arc<Self>,
        ctx: ActivityContext,
        run: RunRef,
    ) -> Result<RequestVerdict, ActivityError> {
        let Some(adopted) = self.adopt(&ctx, &run, None).await? else {
            return Ok(RequestVerdict::Superseded);
        };
        if adopted.status.is_final() {
            return Ok(RequestVerdict::Ended(self.recorded_end(adopted.run).await?));
        }
        Failpoint::BeforeRequest.pass().await;
        let execution_id = match adopted.execution_id {
            Some(execution_id) => execution_id,
            None => match self.requester.request_diagnosis(&ctx, adopted.run).await? {
                RequestOutcome::Accepted(execution_id) => execution_id,
                RequestOutcome::Ended => {
                    return Ok(RequestVerdict::Ended(self.recorded_end(adopted.run).await?));
                }
                RequestOutcome::Superseded => return Ok(RequestVerdict::Superseded),
                RequestOutcome::Failed(error, _) if error.class() == ErrorClass::Permanent => {
                    return self.refused(adopted.run, &error).await;
                }
                RequestOutcome::Failed(error, _) if error.class() == ErrorClass::NeedsOperator => {
                    let code = error.code().to_string();
                    tracing::error!(code, %error, "LoopAI refused the request");
                    return Ok(RequestVerdict::Refused { code });
                }
                RequestOutcome::Failed(error, after) => {
                    return Err(fail(error.code(), &error, after));
                }
            },
        };
        Failpoint::AfterRequestAnswered.pass().await;
        let agent_id = self.requester.loopai.agent_id();
        let stored = self.store.start_processing(adopted.run, agent_id, &execution_id);
        let stored = stored.await.map_err(store_failure)?;
        Failpoint::AfterRequestRecorded.pass().await;
        Ok(match stored {
            // Not `execution_id`: a repeated request may have started a second execution.
            TransitionOutcome::Applied(recorded) => {
                if recorded != execution_id {
                    tracing::warn!(
                        followed = %recorded,
                        duplicate = %execution_id,
                        "LoopAI started a second execution for a repeated request and ignored the idempotency key"
                    );
                    telemetry::duplicate_execution();
                }
                RequestVerdict::Accepted {
                    execution_id: ExecutionId::new(recorded),
                    agent_id: agent_id.into(),
                }
            }
            TransitionOutcome::Conflict(_) => {
                RequestVerdict::Ended(self.recorded_end(adopted.run).await?)
            }
            TransitionOutcome::Superseded => RequestVerdict::Superseded,
        })
    }

    /// Idempotent, because a poll changes nothing and an end is stored by compare-and-set.
    #[activity(definition = definitions::CheckExecution)]
    pub async fn check_execution(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: CheckInput,
    ) -> Result<CheckVerdict, ActivityError> {
        let execution_id = input.execution_id.as_str();
        let Some(adopted) = self.adopt(&ctx, &input.run, Some(execution_id)).await? else {
            return Ok(CheckVerdict::Superseded);
        };
        if adopted.status.is_final() {
            return Ok(CheckVerdict::Ended(self.recorded_end(adopted.run).await?));
        }
        Failpoint::BeforePoll.pass().await;
        let response = self.requester.loopai.execution_status(execution_id).await;
        Failpoint::AfterPollAnswered.pass().await;
        let stored = match response {
            Ok(ExecutionStatus::Running) => return Ok(CheckVerdict::Running),
            Ok(ExecutionStatus::Completed(result)) => {
                let stored = self.store.complete_run(adopted.run, &result).await;
                count_end(stored, Status::Completed)
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
                    ErrorClass::Transient => CheckVerdict::Unreachable { code, retry_after_ms },
                    ErrorClass::NeedsOperator | ErrorClass::Permanent => {
                        CheckVerdict::Refused { code }
                    }
                });
            }
        };
        let stored = stored.map_err(store_failure)?;
        Failpoint::AfterPollRecorded.pass().await;
        Ok(match stored {
            TransitionOutcome::Superseded => CheckVerdict::Superseded,
            TransitionOutcome::Applied(()) | TransitionOutcome::Conflict(_) => {
                CheckVerdict::Ended(self.recorded_end(adopted.run).await?)
            }
        })
    }

    /// Idempotent, because of the compare-and-set: an end that is already recorded does not change.
    #[activity(definition = definitions::EndDiagnosis)]
    pub async fn end_diagnosis(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: EndInput,
    ) -> Result<EndVerdict, ActivityError> {
        let Some(adopted) = self.adopt(&ctx, &input.run, None).await? else {
            return Ok(EndVerdict::Superseded);
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
        let ending = RunEnd { status: outcome, code: input.code, detail: String::new() };
        let stored = self.store.end_run(adopted.run, &ending).await;
        let stored = count_end(stored, outcome.final_status()).map_err(store_failure)?;
        Failpoint::AfterEndRecorded.pass().await;
        Ok(match stored {
            TransitionOutcome::Superseded => EndVerdict::Superseded,
            TransitionOutcome::Applied(()) | TransitionOutcome::Conflict(_) => {
                EndVerdict::Ended(self.recorded_end(adopted.run).await?)
            }
        })
    }

    /// Idempotent, because of the delivery ledger: a delivery is claimed before its text is sent, and settled
    /// afterwards.
    #[activity(definition = definitions::Deliver)]
    pub async fn deliver(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: DeliverInput,
    ) -> Result<DeliverVerdict, ActivityError> {
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
    /// Finds the run that this execution belongs to. Returns `None` when a newer run took over.
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

    async fn refused(
        &self,
        run: RunKey,
        error: &LoopAiError,
    ) -> Result<RequestVerdict, ActivityError> {
        let ending = RunEnd {
            status: EndStatus::Failed,
            code: error.code().to_string(),
            detail: error.to_string(),
        };
        let stored = self.store.end_run(run, &ending).await;
        Ok(match count_end(stored, Status::Failed).map_err(store_failure)? {
            TransitionOutcome::Superseded => RequestVerdict::Superseded,
            TransitionOutcome::Applied(()) | TransitionOutcome::Conflict(_) => {
                RequestVerdict::Ended(self.recorded_end(run).await?)
            }
        })
    }

    /// The recorded end of the submission, and the e-mail that is due for it.
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

/// Counts the end of a submission if this call recorded it.
fn count_end(
    stored: StoreResult<TransitionOutcome>,
    status: Status,
) -> StoreResult<TransitionOutcome> {
    if matches!(stored, Ok(TransitionOutcome::Applied(()))) {
        telemetry::submission_ended(status);
    }
    stored
}
