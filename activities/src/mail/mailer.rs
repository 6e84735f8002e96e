//! Sends a delivery and keeps its ledger: claimed just before the text goes out, settled after.

use super::client::SmtpClient;
use super::content::Letter;
use super::error::SendError;
use super::ledger::{Entry, Patience, verdict};
use crate::failure::{hopeless, retryable};
use crate::report::Report;
use crate::telemetry;
use diagflow_store::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, Failpoint, Reason, Standing, Store, StoreError,
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
        Failpoint::MailBegun.pass().await;
        // Without a claim nothing is lost by writing but once: the delivery stays planned.
        let once = Patience { until: Instant::now(), ending: &self.ending };
        let message = match self.message(store, &delivery).await {
            Ok(message) => message,
            Err(error) => return not_written(store, &attempt, &error, &once).await,
        };
        let opened = match self.client.open(message.envelope()).await {
            Ok(opened) => opened,
            Err(error) => return note(store, &attempt, error, &once).await,
        };
        if self.ending.is_cancelled() {
            return Err(retryable("worker_ending", "", None));
        }
        let text = message.formatted();
        // From before the claim, so that both are over before the claim is.
        let deadline = Instant::now() + self.client.answer();
        let patience = Patience { until: deadline + MARGIN, ending: &self.ending };
        let claimed = self.claim(store, &attempt, &patience).await?;
        Failpoint::MailClaimed.pass().await;
        let outcome = tokio::select! {
            biased;
            outcome = opened.send(&text, deadline) => outcome,
            () = self.ending.cancelled() => {
                Err(SendError::Unknown { detail: "the worker ended before the answer".to_owned() })
            }
        };
        Failpoint::MailTaken.pass().await;
        let told = match outcome {
            Ok(()) => settle(store, &claimed, (DeliveryStatus::Sent, None), &patience).await,
            Err(error) => note(store, &claimed, error, &patience).await,
        };
        Failpoint::MailSettled.pass().await;
        told
    }

    /// Claims a delivery for its text.
    async fn claim(
        &self,
        store: &Store,
        attempt: &Attempt,
        patience: &Patience<'_>,
    ) -> Result<Attempt, ActivityError> {
        let lease = self.client.answer() + MARGIN;
        match store.claim_delivery(attempt, lease).await {
            Ok(Some(claimed)) => Ok(claimed),
            Ok(None) => Err(retryable(AT_WORK, "another attempt was faster", None)),
            Err(error) => {
                // Perhaps only the answer was lost.
                let entry = Entry::Withdrawn(("records_unavailable", ""));
                entry.write(store, attempt, patience).await.map_err(records)?;
                Err(records(error))
            }
        }
    }

    /// Settles a delivery whose time is over as failed, unless it is settled already.
    pub(crate) async fn give_up(&self, store: &Store, id: DeliveryId) -> Outcome {
        let (delivery, attempt) = match planned(store, id).await? {
            Ok(planned) => planned,
            Err(verdict) => return Ok(verdict),
        };
        let settled = store.give_up_delivery(&delivery, &attempt).await.map_err(records)?;
        if settled {
            telemetry::delivery(DeliverVerdict::Failed);
        }
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
        let letter = Letter::write(delivery, &report, submission.error_code.as_deref())?;
        letter.message(delivery, &self.from, &submission.email)
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
        Standing::Abandoned => {
            telemetry::delivery(DeliverVerdict::Unknown);
            Ok(Err(DeliverVerdict::Unknown))
        }
        Standing::Missing => Err(hopeless("unknown_delivery", id)),
    }
}

/// The letter could not even be written: our records are away (try again) or it never can be.
async fn not_written(
    store: &Store,
    attempt: &Attempt,
    error: &anyhow::Error,
    patience: &Patience<'_>,
) -> Outcome {
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return Err(retryable("records_unavailable", error, None));
    }
    let reason = ("letter_not_written", &*format!("{error:#}"));
    settle(store, attempt, (DeliveryStatus::Failed, Some(reason)), patience).await
}

/// Writes down that an attempt did not succeed.
async fn note(
    store: &Store,
    attempt: &Attempt,
    error: SendError,
    patience: &Patience<'_>,
) -> Outcome {
    match error {
        SendError::Unknown { detail } => {
            let reason = ("smtp_no_answer", detail.as_str());
            settle(store, attempt, (DeliveryStatus::Unknown, Some(reason)), patience).await
        }
        SendError::Refused { code, reply, detail } => {
            tracing::warn!(code, reply, "the mail server refuses an e-mail for good");
            let reason = (code, detail.as_str());
            settle(store, attempt, (DeliveryStatus::Failed, Some(reason)), patience).await
        }
        SendError::NotTaken { code, reply, detail } => {
            let entry = Entry::Released((code, &detail));
            entry.write(store, attempt, patience).await.map_err(records)?;
            Err(retryable(code, reply, None))
        }
    }
}

async fn settle(
    store: &Store,
    attempt: &Attempt,
    (status, reason): (DeliveryStatus, Option<Reason<'_>>),
    patience: &Patience<'_>,
) -> Outcome {
    let entry = Entry::Settled(status, reason);
    let settled = entry.write(store, attempt, patience).await.map_err(records)?;
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

fn records(error: StoreError) -> ActivityError {
    retryable("records_unavailable", &error, None)
}
