//! The activities' bodies. Each is idempotent, and says how.
#![expect(missing_docs, reason = "the macro's own items carry no docs; ours do")]

use crate::failure::{hopeless, records, retryable};
use crate::loopai::{CODE_FAILED, ExecutionStatus, LoopAiError, Remedy};
use crate::mail::Mailer;
use crate::request::{Asked, DiagnosisRequester};
use crate::telemetry;
use diagflow_store::{
    Adoption, DeliveryKind, Ending, Failpoint, Outcome, RunKey, Status, Store, StoreResult, Stored,
    SubmissionId,
};
use diagflow_workflows::contract::{
    CheckInput, CheckVerdict, DeliverInput, DeliverVerdict, EndInput, EndVerdict, Ended,
    RequestVerdict, RunRef, RunStatus, definitions,
};
use std::sync::Arc;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

/// What the activities work with.
pub struct Activities {
    /// The records.
    pub store: Store,
    /// Asks LoopAI for diagnoses.
    pub requester: DiagnosisRequester,
    /// Sends what is owed.
    pub mailer: Mailer,
}

#[activities]
impl Activities {
    /// Idempotent by the recorded execution id, and at LoopAI by the reference `{submission}-{run}`.
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
        Failpoint::RequestBegun.pass().await;
        let execution_id = match adopted.execution_id {
            Some(execution_id) => execution_id,
            None => match self.requester.ask_loopai(&ctx, adopted.run).await? {
                Asked::Taken(execution_id) => execution_id,
                Asked::Ended => {
                    return Ok(RequestVerdict::Ended(self.recorded_end(adopted.run).await?));
                }
                Asked::Superseded => return Ok(RequestVerdict::Superseded),
                Asked::Failed(error, _) if error.remedy() == Remedy::Final => {
                    return self.refused(adopted.run, &error).await;
                }
                Asked::Failed(error, _) if error.remedy() == Remedy::NeedsAHand => {
                    let code = error.code().to_owned();
                    tracing::error!(code, %error, "LoopAI refuses the request");
                    return Ok(RequestVerdict::Refused { code });
                }
                Asked::Failed(error, after) => {
                    return Err(retryable(error.code(), &error, after));
                }
            },
        };
        Failpoint::RequestAnswered.pass().await;
        let agent_id = self.requester.loopai.agent_id();
        let stored = self.store.diagnosis_requested(adopted.run, agent_id, &execution_id);
        let stored = stored.await.map_err(records)?;
        Failpoint::RequestRecorded.pass().await;
        Ok(match stored {
            // Not `execution_id`, which a repeated request may have started in vain.
            Stored::Done(recorded) => {
                if recorded != execution_id {
                    tracing::warn!(
                        followed = %recorded,
                        in_vain = %execution_id,
                        "LoopAI began a second execution for a repeated request: it heeds no idempotency key"
                    );
                    telemetry::execution_in_vain();
                }
                RequestVerdict::Accepted { execution_id: recorded, agent_id: agent_id.into() }
            }
            Stored::Otherwise(_) => RequestVerdict::Ended(self.recorded_end(adopted.run).await?),
            Stored::Superseded => RequestVerdict::Superseded,
        })
    }

    /// Idempotent: looking changes nothing, and an end is stored by compare-and-set.
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
        Failpoint::LookBegun.pass().await;
        let answer = self.requester.loopai.status(execution_id).await;
        Failpoint::LookAnswered.pass().await;
        let stored = match answer {
            Ok(ExecutionStatus::Running) => return Ok(CheckVerdict::Running),
            Ok(ExecutionStatus::Completed(result)) => {
                let stored = self.store.diagnosis_completed(adopted.run, &result).await;
                counted(stored, Status::Completed)
            }
            Ok(ExecutionStatus::Failed(error)) => {
                let ending = Ending {
                    outcome: Outcome::Failed,
                    code: CODE_FAILED.to_owned(),
                    detail: error,
                };
                let stored = self.store.diagnosis_ended(adopted.run, &ending).await;
                counted(stored, Status::Failed)
            }
            Err(error) => {
                let code = error.code().to_owned();
                tracing::warn!(code, %error, "a look at the execution gave nothing");
                let after = self.requester.look_again_after(adopted.run.submission, &error).await;
                let retry_after_ms = after.map(|wish| wish.as_millis() as u64);
                return Ok(match error.remedy() {
                    Remedy::TryAgain => CheckVerdict::Unreachable { code, retry_after_ms },
                    Remedy::NeedsAHand | Remedy::Final => CheckVerdict::Refused { code },
                });
            }
        };
        let stored = stored.map_err(records)?;
        Failpoint::LookRecorded.pass().await;
        Ok(match stored {
            Stored::Superseded => CheckVerdict::Superseded,
            Stored::Done(()) | Stored::Otherwise(_) => {
                CheckVerdict::Ended(self.recorded_end(adopted.run).await?)
            }
        })
    }

    /// Idempotent by compare-and-set: an end that is recorded already stays as it is.
    #[activity(definition = definitions::EndDiagnosis)]
    pub async fn end_diagnosis(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: EndInput,
    ) -> Result<EndVerdict, ActivityError> {
        let Some(adopted) = self.adopt(&ctx, &input.run, None).await? else {
            return Ok(EndVerdict::Superseded);
        };
        Failpoint::EndBegun.pass().await;
        let outcome = match input.status {
            RunStatus::TimedOut => Outcome::TimedOut,
            RunStatus::Cancelled => Outcome::Cancelled,
            RunStatus::Failed
            | RunStatus::Pending
            | RunStatus::Processing
            | RunStatus::Completed => Outcome::Failed,
        };
        let ending = Ending { outcome, code: input.code, detail: String::new() };
        let stored = self.store.diagnosis_ended(adopted.run, &ending).await;
        let stored = counted(stored, outcome.status()).map_err(records)?;
        Failpoint::EndRecorded.pass().await;
        Ok(match stored {
            Stored::Superseded => EndVerdict::Superseded,
            Stored::Done(()) | Stored::Otherwise(_) => {
                EndVerdict::Ended(self.recorded_end(adopted.run).await?)
            }
        })
    }

    /// Idempotent by the ledger: a delivery is claimed before its text goes out, and settled afterwards.
    #[activity(definition = definitions::Deliver)]
    pub async fn deliver(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: DeliverInput,
    ) -> Result<DeliverVerdict, ActivityError> {
        let delivery =
            input.delivery_id.parse().map_err(|_| hopeless("unknown_delivery", "no id"))?;
        if input.give_up {
            self.mailer.give_up(&self.store, delivery).await
        } else {
            self.mailer.deliver(&self.store, delivery).await
        }
    }
}

/// The run that an activity works for.
struct Adopted {
    run: RunKey,
    status: Status,
    execution_id: Option<String>,
}

impl Activities {
    /// Finds out which run this is; `None` when a newer one took over.
    async fn adopt(
        &self,
        ctx: &ActivityContext,
        run: &RunRef,
        execution_id: Option<&str>,
    ) -> Result<Option<Adopted>, ActivityError> {
        let submission: SubmissionId =
            run.submission_id.parse().map_err(|_| hopeless("unknown_submission", "no id"))?;
        let started_as = RunKey { submission, number: run.run };
        let temporal_run_id = ctx.info().workflow_run_id.as_deref().unwrap_or_default();
        let adoption = self
            .store
            .adopt(started_as, temporal_run_id, &run.first_run_id, execution_id)
            .await
            .map_err(records)?;
        match adoption {
            Adoption::Current { run, status, execution_id } => {
                Ok(Some(Adopted { run, status, execution_id }))
            }
            Adoption::Superseded => Ok(None),
            Adoption::Unknown => Err(hopeless("unknown_submission", submission)),
        }
    }

    /// Records that LoopAI does not take the submission.
    async fn refused(
        &self,
        run: RunKey,
        error: &LoopAiError,
    ) -> Result<RequestVerdict, ActivityError> {
        let ending = Ending {
            outcome: Outcome::Failed,
            code: error.code().to_owned(),
            detail: error.to_string(),
        };
        let stored = self.store.diagnosis_ended(run, &ending).await;
        Ok(match counted(stored, Status::Failed).map_err(records)? {
            Stored::Superseded => RequestVerdict::Superseded,
            Stored::Done(()) | Stored::Otherwise(_) => {
                RequestVerdict::Ended(self.recorded_end(run).await?)
            }
        })
    }

    /// How the submission ended, and the e-mail that is owed for it, as the records have it.
    async fn recorded_end(&self, run: RunKey) -> Result<Ended, ActivityError> {
        let submission = self
            .store
            .submission(run.submission)
            .await
            .map_err(records)?
            .ok_or_else(|| hopeless("unknown_submission", run.submission))?;
        let (status, kind) = match submission.status {
            Status::Completed => (RunStatus::Completed, DeliveryKind::Result),
            Status::Failed => (RunStatus::Failed, DeliveryKind::Failed),
            Status::TimedOut => (RunStatus::TimedOut, DeliveryKind::TimedOut),
            Status::Cancelled => (RunStatus::Cancelled, DeliveryKind::Cancelled),
            Status::Pending | Status::Processing => {
                return Err(retryable("not_ended", submission.status, None));
            }
        };
        let deliveries = self.store.deliveries(run.submission).await.map_err(records)?;
        let owed = deliveries.iter().rev().find(|delivery| delivery.kind == kind);
        Ok(Ended {
            status,
            code: submission.error_code,
            delivery_id: owed.map(|delivery| delivery.id.to_string()),
        })
    }
}

/// Counts an end that was written. One that was written before was met by [`Activities::adopt`] already.
fn counted(stored: StoreResult<Stored>, status: Status) -> StoreResult<Stored> {
    if matches!(stored, Ok(Stored::Done(()))) {
        telemetry::ended(status);
    }
    stored
}
