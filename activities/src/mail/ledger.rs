//! Writes into the ledger what came of an attempt. What an attempt that holds a claim has to say is
//! lost with the claim, and an e-mail that was certainly not sent would be taken for *unknown*: so it is
//! said again and again while the claim lasts.

use crate::telemetry;
use diagflow_store::{DeliveryAttempt, DeliveryStatus, FailureReason, Store, StoreResult};
use diagflow_workflows::contract::DeliverVerdict;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two tries to write.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// What is to be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum LedgerWrite<'a> {
    /// The delivery is settled.
    Settle(DeliveryStatus, Option<FailureReason<'a>>),
    /// Not sent; it stays planned.
    Release(FailureReason<'a>),
    /// Not sent, and it is not known whether the claim was written.
    Withdraw(FailureReason<'a>),
}

/// Until when a failed writing is repeated.
pub(super) struct RetryLimit<'a> {
    /// Over before the claim is, or now where there is no claim to lose.
    pub(super) until: Instant,
    /// The process ends: nothing is repeated any more.
    pub(super) shutdown: &'a CancellationToken,
}

impl LedgerWrite<'_> {
    /// Writes it. Says whether the delivery was this attempt's; otherwise nothing is changed.
    ///
    /// # Errors
    /// When the database does not answer, for longer than `retry_limit`.
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
            tracing::warn!("cannot write what came of an e-mail; trying again");
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

/// What the workflow is told of a settled delivery.
pub(super) fn verdict(status: DeliveryStatus) -> DeliverVerdict {
    match status {
        DeliveryStatus::Sent => DeliverVerdict::Sent,
        DeliveryStatus::Failed => DeliverVerdict::Failed,
        DeliveryStatus::Planned | DeliveryStatus::Sending | DeliveryStatus::Unknown => {
            DeliverVerdict::Unknown
        }
    }
}
