//! Sends a delivery and keeps its ledger: claimed before, settled after.

use super::client::SmtpClient;
use super::error::SendError;
use super::letter::Letter;
use crate::failure::{hopeless, retryable};
use crate::report::Report;
use chrono::{TimeDelta, Utc};
use diagflow_store::{Claim, Delivery, DeliveryId, DeliveryStatus, Store, StoreError};
use diagflow_workflows::contract::DeliverVerdict;
use lettre::Message;
use lettre::message::Mailbox;
use temporalio_sdk::activities::ActivityError;

/// How long a mail server may refuse or be away: RFC 5321, 4.5.4.1 asks for four to five days.
const PATIENCE: TimeDelta = TimeDelta::days(4);

/// Sends deliveries.
#[derive(Clone)]
pub struct Mailer {
    client: SmtpClient,
    from: Mailbox,
}

impl Mailer {
    /// A mailer that sends as `from`.
    pub fn new(client: SmtpClient, from: Mailbox) -> Mailer {
        Mailer { client, from }
    }

    /// Sends a delivery, unless it is settled already. At most one attempt may run at a time; Temporal
    /// sees to that. What is found half-sent is settled as unknown, and never sent again.
    pub(crate) async fn deliver(
        &self,
        store: &Store,
        id: DeliveryId,
    ) -> Result<DeliverVerdict, ActivityError> {
        let delivery = match store.claim_delivery(id).await.map_err(records)? {
            Claim::Yours(delivery) => delivery,
            Claim::Settled(status) => return Ok(verdict(status)),
            Claim::Missing => return Err(hopeless("unknown_delivery", &id)),
        };
        let message = match self.message(store, &delivery).await {
            Ok(message) => message,
            Err(error) => return self.not_sendable(store, &delivery, &error).await,
        };
        match self.client.send(message.envelope(), &message.formatted()).await {
            Ok(()) => settle(store, id, DeliveryStatus::Sent, None).await,
            Err(SendError::Unknown { detail }) => {
                let error = ("smtp_no_answer", detail.as_str());
                settle(store, id, DeliveryStatus::Unknown, Some(error)).await
            }
            Err(SendError::Refused { code, detail }) => {
                settle(store, id, DeliveryStatus::Failed, Some((code, &detail))).await
            }
            Err(SendError::NotTaken { code, detail }) => {
                if Utc::now().naive_utc() - delivery.created_at > PATIENCE {
                    return settle(store, id, DeliveryStatus::Failed, Some((code, &detail))).await;
                }
                store.release_delivery(id, code, &detail).await.map_err(records)?;
                Err(retryable(code, &detail, None))
            }
        }
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

    /// The letter could not even be written: our records are away (try again) or it never can be.
    async fn not_sendable(
        &self,
        store: &Store,
        delivery: &Delivery,
        error: &anyhow::Error,
    ) -> Result<DeliverVerdict, ActivityError> {
        let detail = format!("{error:#}");
        if error.downcast_ref::<StoreError>().is_some() {
            store
                .release_delivery(delivery.id, "records_unavailable", "")
                .await
                .map_err(records)?;
            return Err(retryable("records_unavailable", &detail, None));
        }
        let why = Some(("letter_not_written", detail.as_str()));
        settle(store, delivery.id, DeliveryStatus::Failed, why).await
    }
}

async fn settle(
    store: &Store,
    id: DeliveryId,
    status: DeliveryStatus,
    error: Option<(&str, &str)>,
) -> Result<DeliverVerdict, ActivityError> {
    store.settle_delivery(id, status, error).await.map_err(records)?;
    Ok(verdict(status))
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
