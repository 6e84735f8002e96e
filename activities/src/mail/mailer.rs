//! Sends e-mails and records them in the delivery ledger: claims a delivery just before its text is sent, and settles
//! it afterwards.

use super::client::SmtpClient;
use super::content::EmailContent;
use super::error::SendError;
use super::ledger::{LedgerWrite, RetryLimit, verdict};
use crate::failure::{fail, store_failure};
use crate::report::Report;
use crate::telemetry;
use diagflow_store::{
    Delivery, DeliveryAttempt, DeliveryId, DeliveryState, DeliveryStatus, Failpoint, FailureCode,
    FailureReason, Store, StoreError,
};
use diagflow_workflows::contract::DeliverVerdict;
use lettre::Message;
use lettre::message::Mailbox;
use std::time::Duration;
use temporalio_sdk::activities::ActivityError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Added to the timeout for the text, so that the outcome can be recorded.
const WRITE_MARGIN: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Mailer {
    client: SmtpClient,
    from: Mailbox,
    /// See [`Mailer::shutdown`].
    shutdown: CancellationToken,
}

type AttemptResult = Result<DeliverVerdict, ActivityError>;

impl Mailer {
    pub fn new(client: SmtpClient, from: Mailbox) -> Mailer {
        Mailer { client, from, shutdown: CancellationToken::new() }
    }

    /// Cancelling this token settles e-mails without a reply as unknown, and prevents further e-mails from being sent.
    pub(crate) fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Sends the e-mail of a delivery that is not settled. Concurrent calls are safe: the ledger allows only one of
    /// them to send the text.
    pub(crate) async fn deliver(&self, store: &Store, id: DeliveryId) -> AttemptResult {
        let (delivery, attempt) = match find_due(store, id).await? {
            Ok(due) => due,
            Err(verdict) => return Ok(verdict),
        };
        Failpoint::BeforeMailClaimed.pass().await;
        // Before the claim, one attempt to write is enough: if it fails, the delivery stays planned.
        let once = RetryLimit { until: Instant::now(), shutdown: &self.shutdown };
        let message = match self.message(store, &delivery).await {
            Ok(message) => message,
            Err(error) => return content_failed(store, &attempt, error, &once).await,
        };
        let transaction = match self.client.begin(message.envelope()).await {
            Ok(transaction) => transaction,
            Err(error) => return record_failure(store, &attempt, error, &once).await,
        };
        if self.shutdown.is_cancelled() {
            return Err(fail(FailureCode::WorkerShuttingDown, "", None));
        }
        let text = message.formatted();
        // Both time limits start before the claim, so that they end before the claim expires.
        let deadline = Instant::now() + self.client.response_timeout();
        let retry_limit = RetryLimit { until: deadline + WRITE_MARGIN, shutdown: &self.shutdown };
        let claimed = self.claim(store, &attempt, &retry_limit).await?;
        Failpoint::AfterMailClaimed.pass().await;
        let outcome = tokio::select! {
            biased;
            outcome = transaction.send(&text, deadline) => outcome,
            () = self.shutdown.cancelled() => {
                Err(SendError::Unknown { detail: "the worker stopped before the mail server replied".to_owned() })
            }
        };
        Failpoint::AfterMailAccepted.pass().await;
        let result = match outcome {
            Ok(()) => settle(store, &claimed, (DeliveryStatus::Sent, None), &retry_limit).await,
            Err(error) => record_failure(store, &claimed, error, &retry_limit).await,
        };
        Failpoint::AfterMailSettled.pass().await;
        result
    }

    async fn claim(
        &self,
        store: &Store,
        attempt: &DeliveryAttempt,
        retry_limit: &RetryLimit<'_>,
    ) -> Result<DeliveryAttempt, ActivityError> {
        let lease = self.client.response_timeout() + WRITE_MARGIN;
        match store.claim_delivery(attempt, lease).await {
            Ok(Some(claimed)) => Ok(claimed),
            Ok(None) => {
                Err(fail(FailureCode::DeliveryInProgress, "another attempt was faster", None))
            }
            Err(error) => {
                // The claim may have been written although the response was lost.
                let write =
                    LedgerWrite::Withdraw(FailureReason::new(FailureCode::RecordsUnavailable, ""));
                write.write(store, attempt, retry_limit).await.map_err(store_failure)?;
                Err(store_failure(error))
            }
        }
    }

    /// Settles a delivery as failed, unless it is already settled.
    pub(crate) async fn give_up(&self, store: &Store, id: DeliveryId) -> AttemptResult {
        let (delivery, attempt) = match find_due(store, id).await? {
            Ok(due) => due,
            Err(verdict) => return Ok(verdict),
        };
        let settled = store.give_up_delivery(&delivery, &attempt).await.map_err(store_failure)?;
        if settled {
            telemetry::delivery_settled(DeliverVerdict::Failed);
        }
        verdict_if_settled(settled, DeliveryStatus::Failed)
    }

    async fn message(&self, store: &Store, delivery: &Delivery) -> anyhow::Result<Message> {
        let submission = store
            .submission(delivery.submission_id)
            .await?
            .ok_or_else(|| anyhow::anyhow!("the submission does not exist"))?;
        let report = store
            .result(delivery.submission_id)
            .await?
            .map(|result| Report::from_result(&result))
            .unwrap_or_default();
        let content = EmailContent::render(delivery, &report, submission.error_code.as_deref())?;
        content.into_message(delivery, &self.from, &submission.email)
    }
}

/// Returns the delivery if it is due, or its verdict if it is settled.
async fn find_due(
    store: &Store,
    id: DeliveryId,
) -> Result<Result<(Delivery, DeliveryAttempt), DeliverVerdict>, ActivityError> {
    match store.delivery_state(id).await.map_err(store_failure)? {
        DeliveryState::Planned(delivery, attempt) => Ok(Ok((delivery, attempt))),
        DeliveryState::Sending { left } => Err(fail(
            FailureCode::DeliveryInProgress,
            "another attempt is sending the text",
            Some(left),
        )),
        DeliveryState::Settled(status) => Ok(Err(verdict(status))),
        DeliveryState::Abandoned => {
            telemetry::delivery_settled(DeliverVerdict::Unknown);
            Ok(Err(DeliverVerdict::Unknown))
        }
        DeliveryState::NotFound => Err(fail(FailureCode::DeliveryNotFound, id, None)),
    }
}

async fn content_failed(
    store: &Store,
    attempt: &DeliveryAttempt,
    error: anyhow::Error,
    retry_limit: &RetryLimit<'_>,
) -> AttemptResult {
    match error.downcast::<StoreError>() {
        Ok(error) => {
            if !error.is_retryable() {
                // The ledger must contain the reason if the delivery is given up later.
                let reason = FailureReason::new(FailureCode::RecordsUnreadable, "");
                let write = LedgerWrite::Release(reason);
                write.write(store, attempt, retry_limit).await.map_err(store_failure)?;
            }
            Err(store_failure(error))
        }
        Err(error) => {
            let detail = format!("{error:#}");
            let reason = FailureReason::new(FailureCode::EmailNotRendered, &detail);
            settle(store, attempt, (DeliveryStatus::Failed, Some(reason)), retry_limit).await
        }
    }
}

async fn record_failure(
    store: &Store,
    attempt: &DeliveryAttempt,
    error: SendError,
    retry_limit: &RetryLimit<'_>,
) -> AttemptResult {
    match error {
        SendError::Unknown { detail } => {
            let reason = FailureReason::new(FailureCode::SmtpNoResponse, &detail);
            settle(store, attempt, (DeliveryStatus::Unknown, Some(reason)), retry_limit).await
        }
        SendError::Rejected { code, reply, detail } => {
            tracing::warn!(%code, reply, "mail server rejected an e-mail");
            let reason = FailureReason::new(code, &detail);
            settle(store, attempt, (DeliveryStatus::Failed, Some(reason)), retry_limit).await
        }
        SendError::Deferred { code, reply, detail } => {
            let write = LedgerWrite::Release(FailureReason::new(code, &detail));
            write.write(store, attempt, retry_limit).await.map_err(store_failure)?;
            Err(fail(code, reply, None))
        }
    }
}

async fn settle(
    store: &Store,
    attempt: &DeliveryAttempt,
    (status, reason): (DeliveryStatus, Option<FailureReason<'_>>),
    retry_limit: &RetryLimit<'_>,
) -> AttemptResult {
    let write = LedgerWrite::Settle(status, reason);
    let settled = write.write(store, attempt, retry_limit).await.map_err(store_failure)?;
    verdict_if_settled(settled, status)
}

fn verdict_if_settled(settled: bool, status: DeliveryStatus) -> AttemptResult {
    if settled {
        Ok(verdict(status))
    } else {
        Err(fail(FailureCode::DeliveryInProgress, "another attempt was faster", None))
    }
}
