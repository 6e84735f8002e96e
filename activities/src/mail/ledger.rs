//! Writes the outcome of an attempt to the delivery ledger. If a claim expires without an outcome, the delivery becomes
//! `unknown`, even if the e-mail was definitely not sent. Failed writes are therefore retried until the claim expires.

use crate::telemetry;
use diagflow_store::{DeliveryAttempt, DeliveryStatus, FailureReason, Store, StoreResult};
use diagflow_workflows::contract::DeliverResult;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const RETRY_DELAY: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy)]
pub(super) enum LedgerWrite<'a> {
    Settle(DeliveryStatus, Option<FailureReason<'a>>),
    /// Reverts the delivery to `planned` because the e-mail was not sent.
    Release(FailureReason<'a>),
    /// Removes the claim on an e-mail that was not sent, if the claim was written at all.
    Withdraw(FailureReason<'a>),
}

pub(super) struct RetryLimit<'a> {
    /// When to stop retrying: shortly before the claim expires, or immediately if there is no claim.
    pub(super) until: Instant,
    /// Cancelling this token stops the retries.
    pub(super) shutdown: &'a CancellationToken,
}

impl LedgerWrite<'_> {
    /// Writes the outcome. Returns `false` and changes nothing if the delivery no longer belongs to this attempt.
    pub(super) async fn write(
        self,
        store: &Store,
        attempt: &DeliveryAttempt,
        retry_limit: &RetryLimit<'_>,
    ) -> StoreResult<bool> {
        loop {
            let error = match self.try_write(store, attempt).await {
                Ok(written) => {
                    self.count(written);
                    return Ok(written);
                }
                Err(error) => error,
            };
            let next_try = Instant::now() + RETRY_DELAY;
            let is_permanent = !error.is_retryable();
            if is_permanent || next_try > retry_limit.until || retry_limit.shutdown.is_cancelled() {
                return Err(error);
            }
            tracing::warn!("cannot record the outcome of an e-mail; retrying");
            tokio::select! {
                () = tokio::time::sleep_until(next_try) => {}
                () = retry_limit.shutdown.cancelled() => {}
            }
        }
    }

    async fn try_write(self, store: &Store, attempt: &DeliveryAttempt) -> StoreResult<bool> {
        match self {
            Self::Settle(status, reason) => store.settle_delivery(attempt, status, reason).await,
            Self::Release(reason) => store.release_delivery(attempt, reason).await,
            Self::Withdraw(reason) => store.withdraw_claim(attempt, reason).await,
        }
    }

    fn count(self, written: bool) {
        if let Self::Settle(status, _) = self
            && written
        {
            telemetry::delivery_settled(deliver_result(status));
        }
    }
}

pub(super) fn deliver_result(status: DeliveryStatus) -> DeliverResult {
    match status {
        DeliveryStatus::Sent => DeliverResult::Sent,
        DeliveryStatus::Failed => DeliverResult::Failed,
        DeliveryStatus::Planned | DeliveryStatus::Sending | DeliveryStatus::Unknown => {
            DeliverResult::Unknown
        }
    }
}
