//! Writes the outcome of an attempt to the delivery ledger. If a claim expires without an outcome, the e-mail counts as
//! *unknown*, even if it was certainly not sent. A failed write is therefore retried until the claim expires.

use crate::telemetry;
use diagflow_store::{DeliveryAttempt, DeliveryStatus, FailureReason, Store, StoreResult};
use diagflow_workflows::contract::DeliverVerdict;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const RETRY_DELAY: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy)]
pub(super) enum LedgerWrite<'a> {
    Settle(DeliveryStatus, Option<FailureReason<'a>>),
    /// Not sent. The delivery stays planned.
    Release(FailureReason<'a>),
    /// Not sent, and it is unknown whether the claim was written.
    Withdraw(FailureReason<'a>),
}

pub(super) struct RetryLimit<'a> {
    /// A time before the claim expires, or the current time if there is no claim.
    pub(super) until: Instant,
    /// Cancelling this token stops the retries.
    pub(super) shutdown: &'a CancellationToken,
}

impl LedgerWrite<'_> {
    /// Returns `false`, and changes nothing, if the delivery no longer belongs to this attempt.
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
            telemetry::delivery_settled(verdict(status));
        }
    }
}

pub(super) fn verdict(status: DeliveryStatus) -> DeliverVerdict {
    match status {
        DeliveryStatus::Sent => DeliverVerdict::Sent,
        DeliveryStatus::Failed => DeliverVerdict::Failed,
        DeliveryStatus::Planned | DeliveryStatus::Sending | DeliveryStatus::Unknown => {
            DeliverVerdict::Unknown
        }
    }
}
