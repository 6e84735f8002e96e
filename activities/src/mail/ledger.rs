//! Writes into the ledger what came of an attempt. What an attempt that holds a claim has to say is
//! lost with the claim, and an e-mail that was certainly not sent would be taken for *unknown*: so it is
//! said again and again while the claim lasts.

use crate::telemetry;
use diagflow_store::{Attempt, DeliveryStatus, Reason, Store, StoreError, StoreResult};
use diagflow_workflows::contract::DeliverVerdict;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two tries to write.
const PAUSE: Duration = Duration::from_millis(500);

/// What is to be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'a> {
    /// The delivery is settled.
    Settled(DeliveryStatus, Option<Reason<'a>>),
    /// Not sent; it stays planned.
    Released(Reason<'a>),
    /// Not sent, and it is not known whether the claim was written.
    Withdrawn(Reason<'a>),
}

/// Until when a failed writing is repeated.
pub(super) struct Patience<'a> {
    /// Over before the claim is, or now where there is no claim to lose.
    pub(super) until: Instant,
    /// The process ends: nothing is repeated any more.
    pub(super) ending: &'a CancellationToken,
}

impl Entry<'_> {
    /// Writes it. Says whether the delivery was this attempt's; otherwise nothing is changed.
    ///
    /// # Errors
    /// When the database does not answer, for longer than `patience`.
    pub(super) async fn write(
        self,
        store: &Store,
        attempt: &Attempt,
        patience: &Patience<'_>,
    ) -> StoreResult<bool> {
        loop {
            let error = match self.try_to_write(store, attempt).await {
                Ok(written) => {
                    self.count(written);
                    return Ok(written);
                }
                Err(error) => error,
            };
            let again = Instant::now() + PAUSE;
            let is_hopeless = matches!(error, StoreError::Corrupt(_));
            if is_hopeless || again > patience.until || patience.ending.is_cancelled() {
                return Err(error);
            }
            tracing::warn!("cannot write what came of an e-mail; trying again");
            tokio::select! {
                () = tokio::time::sleep_until(again) => {}
                () = patience.ending.cancelled() => {}
            }
        }
    }

    async fn try_to_write(self, store: &Store, attempt: &Attempt) -> StoreResult<bool> {
        match self {
            Self::Settled(status, reason) => store.settle_delivery(attempt, status, reason).await,
            Self::Released(reason) => store.release_delivery(attempt, reason).await,
            Self::Withdrawn(reason) => store.withdraw_claim(attempt, reason).await,
        }
    }

    fn count(self, written: bool) {
        if let Self::Settled(status, _) = self
            && written
        {
            telemetry::delivery(verdict(status));
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
