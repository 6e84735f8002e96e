//! Sends a delivery and keeps its ledger: claimed just before the text goes out, settled after.

use super::client::SmtpClient;
use super::error::SendError;
use super::letter::Letter;
use crate::failure::{hopeless, retryable};
use crate::report::Report;
use diagflow_store::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, Reason, Standing, Store, StoreError,
};
use diagflow_workflows::contract::DeliverVerdict;
use lettre::Message;
use lettre::message::Mailbox;
use std::time::Duration;
use temporalio_sdk::activities::ActivityError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a sender has beyond the time for the text, to write down what came of it.
const MARGIN: Duration = Duration::from_secs(5);
/// An attempt met another one that is at work on the same delivery.
const AT_WORK: &str = "delivery_at_work";

/// Sends deliveries.
#[derive(Clone)]
pub struct Mailer {
    client: SmtpClient,
    from: Mailbox,
    /// The process ends: no answer is waited for any more.
    ending: CancellationToken,
}

/// What came of one attempt whose end is certain enough to be written down.
type Outcome = Result<DeliverVerdict, ActivityError>;

impl Mailer {
    /// A mailer that sends as `from`.
    pub fn new(client: SmtpClient, from: Mailbox) -> Mailer {
        Mailer { client, from, ending: CancellationToken::new() }
    }

    /// Cancelled, it ends the waiting for answers: such an e-mail is settled as unknown at once, and no
    /// further text goes out.
    pub(crate) fn ending(&self) -> CancellationToken {
        self.ending.clone()
    }

    /// Sends a delivery, unless it is settled already. Safe to be run twice at once: the ledger lets only
    /// one attempt hand the text over, and until then nothing of it was sent.
    pub(crate) async fn deliver(&self, store: &Store, id: DeliveryId) -> Outcome {
        let (delivery, attempt) = match planned(store, id).await? {
            Ok(planned) => planned,
            Err(verdict) => return Ok(verdict),
        };
        let message = match self.message(store, &delivery).await {
            Ok(message) => message,
            Err(error) => return not_written(store, &attempt, &error).await,
        };
        let opened = match self.client.open(message.envelope()).await {
            Ok(opened) => opened,
            Err(error) => return note(store, &attempt, error).await,
        };
        if self.ending.is_cancelled() {
            return Err(retryable("worker_ending", "", None));
        }
        let text = message.formatted();
        // From before the claim, so that it is over before the claim is.
        let deadline = Instant::now() + self.client.answer();
        let lease = self.client.answer() + MARGIN;
        let Some(claimed) = store.claim_delivery(&attempt, lease).await.map_err(records)? else {
            return Err(retryable(AT_WORK, "another attempt was faster", None));
        };
        let outcome = tokio::select! {
            biased;
            outcome = opened.send(&text, deadline) => outcome,
            () = self.ending.cancelled() => {
                Err(SendError::Unknown { detail: "the worker ended before the answer".to_owned() })
            }
        };
        match outcome {
            Ok(()) => settle(store, &claimed, DeliveryStatus::Sent, None).await,
            Err(error) => note(store, &claimed, error).await,
        }
    }

    /// Settles a delivery whose time is over as failed, unless it is settled already.
    pub(crate) async fn give_up(&self, store: &Store, id: DeliveryId) -> Outcome {
        let (delivery, attempt) = match planned(store, id).await? {
            Ok(planned) => planned,
            Err(verdict) => return Ok(verdict),
        };
        let settled = store.give_up_delivery(&delivery, &attempt).await.map_err(records)?;
        told(settled, DeliveryStatus::Failed)
    }

    async fn message(&self, store: &Store, delivery: &Delivery) -> anyhow::Result<Message> {
        let submission = store
            .submission(delivery.submission_id)
            .await?
            .ok_or_else(|| anyhow::anyhow!("the submission is gone"))?;
        let report = store
            .result(delivery.submission_id)
            .await?
            .map(|result| Report::of(&result))
            .unwrap_or_default();
        Letter::write(delivery, &report)?.message(delivery, &self.from, &submission.email)
    }
}

/// A delivery that is still to be sent; the verdict on one that is settled.
async fn planned(
    store: &Store,
    id: DeliveryId,
) -> Result<Result<(Delivery, Attempt), DeliverVerdict>, ActivityError> {
    match store.delivery_standing(id).await.map_err(records)? {
        Standing::Planned(delivery, attempt) => Ok(Ok((delivery, attempt))),
        Standing::Sending { left } => Err(retryable(AT_WORK, "its text is under way", Some(left))),
        Standing::Settled(status) => Ok(Err(verdict(status))),
        Standing::Missing => Err(hopeless("unknown_delivery", id)),
    }
}

/// The letter could not even be written: our records are away (try again) or it never can be.
async fn not_written(store: &Store, attempt: &Attempt, error: &anyhow::Error) -> Outcome {
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return Err(retryable("records_unavailable", error, None));
    }
    let reason = ("letter_not_written", &*format!("{error:#}"));
    settle(store, attempt, DeliveryStatus::Failed, Some(reason)).await
}

/// Writes down that an attempt did not succeed.
async fn note(store: &Store, attempt: &Attempt, error: SendError) -> Outcome {
    match error {
        SendError::Unknown { detail } => {
            let reason = ("smtp_no_answer", detail.as_str());
            settle(store, attempt, DeliveryStatus::Unknown, Some(reason)).await
        }
        SendError::Refused { code, reply, detail } => {
            tracing::warn!(code, reply, "the mail server refuses an e-mail for good");
            settle(store, attempt, DeliveryStatus::Failed, Some((code, &detail))).await
        }
        SendError::NotTaken { code, reply, detail } => {
            store.release_delivery(attempt, (code, &detail)).await.map_err(records)?;
            Err(retryable(code, reply, None))
        }
    }
}

async fn settle(
    store: &Store,
    attempt: &Attempt,
    status: DeliveryStatus,
    reason: Option<Reason<'_>>,
) -> Outcome {
    let settled = store.settle_delivery(attempt, status, reason).await.map_err(records)?;
    told(settled, status)
}

/// The verdict, if it was ours to give.
fn told(settled: bool, status: DeliveryStatus) -> Outcome {
    if settled {
        Ok(verdict(status))
    } else {
        Err(retryable(AT_WORK, "another attempt was faster", None))
    }
}

fn verdict(status: DeliveryStatus) -> DeliverVerdict {
    match status {
        DeliveryStatus::Sent => DeliverVerdict::Sent,
        DeliveryStatus::Failed => DeliverVerdict::Failed,
        DeliveryStatus::Planned | DeliveryStatus::Sending | DeliveryStatus::Unknown => {
            DeliverVerdict::Unknown
        }
    }
}

fn records(error: StoreError) -> ActivityError {
    retryable("records_unavailable", &error, None)
}
