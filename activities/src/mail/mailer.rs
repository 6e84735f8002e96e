//! Sends e-mails. The mailer claims a delivery in the ledger just before sending the message data, and records the
//! outcome afterwards.

use super::client::SmtpClient;
use super::content::{EmailContent, EmailOptions};
use super::error::SendError;
use super::ledger::{LedgerWrite, RetryLimit, deliver_result};
use crate::failure::{fail, store_failure};
use crate::telemetry;
use diagflow_store::{
    Delivery, DeliveryAttempt, DeliveryId, DeliveryState, DeliveryStatus, Failpoint, FailureCode,
    FailureReason, InvalidEmailAddress, PauseTarget, Report, Store, StoreError,
};
use diagflow_workflows::contract::DeliverResult;
use lettre::Message;
use lettre::message::Mailbox;
use std::time::Duration;
use temporalio_sdk::activities::ActivityError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time reserved for recording the outcome after the mail server has replied.
const WRITE_MARGIN: Duration = Duration::from_secs(5);
/// Interval between attempts while e-mails are paused. With the retry policy's intervals, which grow to 15 minutes,
/// patients would wait long after the end of the pause.
const PAUSE_INTERVAL: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Mailer {
    client: SmtpClient,
    from: Mailbox,
    options: EmailOptions,
    shutdown: CancellationToken,
}

type AttemptResult = Result<DeliverResult, ActivityError>;

impl Mailer {
    pub fn new(client: SmtpClient, from: Mailbox, options: EmailOptions) -> Mailer {
        Mailer { client, from, options, shutdown: CancellationToken::new() }
    }

    /// Returns the token that stops the mailer. Once it is cancelled, deliveries still waiting for a reply become
    /// `unknown`, and no further e-mails are sent.
    pub(crate) fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Sends the e-mail for an unsettled delivery. Concurrent calls are safe because the ledger allows only one of them
    /// to send the message data.
    pub(crate) async fn deliver(&self, store: &Store, id: DeliveryId) -> AttemptResult {
        let (delivery, attempt) = match find_due(store, id).await? {
            Ok(due) => due,
            Err(result) => return Ok(result),
        };
        if store.is_paused(PauseTarget::Emails).await.map_err(store_failure)? {
            return Err(fail(
                FailureCode::EmailsPaused,
                "e-mails are paused",
                Some(PAUSE_INTERVAL),
            ));
        }
        Failpoint::BeforeMailClaimed.pass().await;
        // Before the claim, writes are not retried because the delivery stays `planned` if a write fails.
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
        // Both deadlines are computed before the delivery is claimed so that they pass before the claim expires.
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
                Err(fail(FailureCode::DeliveryInProgress, "another attempt took over", None))
            }
            Err(error) => {
                // MySQL may have committed the claim even though its response was lost.
                let write =
                    LedgerWrite::Withdraw(FailureReason::new(FailureCode::RecordsUnavailable, ""));
                write.write(store, attempt, retry_limit).await.map_err(store_failure)?;
                Err(store_failure(error))
            }
        }
    }

    /// Settles a delivery as `failed` unless it is already settled.
    pub(crate) async fn give_up(&self, store: &Store, id: DeliveryId) -> AttemptResult {
        let (delivery, attempt) = match find_due(store, id).await? {
            Ok(due) => due,
            Err(result) => return Ok(result),
        };
        let settled = store.give_up_delivery(&delivery, &attempt).await.map_err(store_failure)?;
        if settled {
            telemetry::delivery_settled(DeliverResult::Failed);
        }
        result_if_settled(settled, DeliveryStatus::Failed)
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
        let error_code = submission.error_code.as_deref();
        let (language, options) = (submission.language, &self.options);
        let content = EmailContent::render(delivery, &report, error_code, language, options)?;
        content.into_message(delivery, &self.from, &submission.email)
    }
}

/// Returns the delivery if its e-mail is due, or the outcome if the delivery is already settled.
async fn find_due(
    store: &Store,
    id: DeliveryId,
) -> Result<Result<(Delivery, DeliveryAttempt), DeliverResult>, ActivityError> {
    match store.delivery_state(id).await.map_err(store_failure)? {
        DeliveryState::Planned(delivery, attempt) => Ok(Ok((delivery, attempt))),
        DeliveryState::Sending { left } => Err(fail(
            FailureCode::DeliveryInProgress,
            "another attempt is sending the e-mail",
            Some(left),
        )),
        DeliveryState::Settled(status) => Ok(Err(deliver_result(status))),
        DeliveryState::Abandoned => {
            telemetry::delivery_settled(DeliverResult::Unknown);
            Ok(Err(DeliverResult::Unknown))
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
                // The reason is recorded now in case a later attempt gives up on the delivery.
                let reason = FailureReason::new(error.failure_code(), "");
                let write = LedgerWrite::Release(reason);
                write.write(store, attempt, retry_limit).await.map_err(store_failure)?;
            }
            Err(store_failure(error))
        }
        Err(error) => {
            let detail = format!("{error:#}");
            let code = match error.is::<InvalidEmailAddress>() {
                true => FailureCode::EmailAddressInvalid,
                false => FailureCode::EmailNotRendered,
            };
            let reason = FailureReason::new(code, &detail);
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
    result_if_settled(settled, status)
}

fn result_if_settled(settled: bool, status: DeliveryStatus) -> AttemptResult {
    if settled {
        Ok(deliver_result(status))
    } else {
        Err(fail(FailureCode::DeliveryInProgress, "another attempt took over", None))
    }
}
