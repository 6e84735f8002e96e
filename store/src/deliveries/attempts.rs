//! Attempts to send an e-mail. An attempt claims the delivery before it sends the message text, and then records the
//! outcome.

use crate::codes::FailureCode;
use crate::db::clock::{after, now};
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{deliveries, submissions};
use crate::db::sql_text::{MAX_ERROR_DETAIL, truncated};
use crate::db::utc_time::UtcTime;
use crate::deliveries::model::{Delivery, DeliveryKind, DeliveryStatus};
use crate::deliveries::plan::{cancel_for_deleted, supersede, supersede_by_copy};
use crate::submissions::events;
use crate::submissions::row::{is_deleted, lock};
use crate::submissions::status::Status;
use crate::submissions::steps::Step;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::RunQueryDsl;
use std::time::Duration;
use uuid::Uuid;

/// Selects the delivery if it has not changed since the attempt read or claimed it.
macro_rules! current_row {
    ($attempt:expr) => {
        deliveries::table
            .find($attempt.delivery)
            .filter(deliveries::status.eq($attempt.status))
            .filter(deliveries::attempts.eq($attempt.number))
            .filter(deliveries::claim.eq(&$attempt.claim))
    };
}

/// An attempt's writes take effect only if no other attempt has changed the delivery in the meantime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryAttempt {
    delivery: DeliveryId,
    submission: SubmissionId,
    kind: DeliveryKind,
    /// Either *planned*, or *sending* if this attempt has claimed the delivery.
    status: DeliveryStatus,
    number: i32,
    claim: String,
    /// A random id is needed because two attempts that have read the same attempt number would compute the same next
    /// number.
    next_claim: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    /// The e-mail is due. The caller must claim the delivery just before it sends the message text.
    Planned(Delivery, DeliveryAttempt),
    Sending {
        /// Time until the sender's claim expires.
        left: Duration,
    },
    Settled(DeliveryStatus),
    /// The claim had expired, so this call settled the delivery as *unknown*.
    Abandoned,
    NotFound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureReason<'a> {
    pub code: &'a str,
    pub detail: &'a str,
}

impl<'a> FailureReason<'a> {
    pub fn new(code: FailureCode, detail: &'a str) -> Self {
        Self { code: code.as_str(), detail }
    }
}

impl Store {
    /// Returns a delivery's state. If the delivery is still *sending* after its claim has expired, the sender died or
    /// could not record the outcome. The mail server may have accepted the e-mail, so this call settles the delivery as
    /// *unknown*. It also cancels a *planned* delivery that must no longer be sent, for example because its submission
    /// was deleted or retried.
    pub async fn delivery_state(&self, id: DeliveryId) -> StoreResult<DeliveryState> {
        loop {
            let Some((delivery, left, attempt)) = self.load_attempt(id).await? else {
                return Ok(DeliveryState::NotFound);
            };
            match delivery.status {
                DeliveryStatus::Planned => {
                    if self.cancel_if_stale(&delivery).await? {
                        continue;
                    }
                    return Ok(DeliveryState::Planned(delivery, attempt));
                }
                DeliveryStatus::Sending => {}
                settled => return Ok(DeliveryState::Settled(settled)),
            }
            if let Some(left) = left {
                return Ok(DeliveryState::Sending { left });
            }
            let reason = FailureReason {
                code: FailureCode::SenderLost.as_str(),
                detail: "the sender recorded no outcome",
            };
            if self.settle_delivery(&attempt, DeliveryStatus::Unknown, Some(reason)).await? {
                return Ok(DeliveryState::Abandoned);
            }
            // Another attempt settled the delivery first, so the loop reads that attempt's outcome.
        }
    }

    /// Returns a delivery, the time until its claim expires, and a new attempt.
    async fn load_attempt(
        &self,
        id: DeliveryId,
    ) -> StoreResult<Option<(Delivery, Option<Duration>, DeliveryAttempt)>> {
        let found: Option<(Delivery, String, Option<i64>)> = deliveries::table
            .find(id)
            .select((
                Delivery::as_select(),
                deliveries::claim,
                sql::<Nullable<BigInt>>("TIMESTAMPDIFF(MICROSECOND, NOW(6), sending_until)"),
            ))
            .first(&mut self.connection().await?)
            .await
            .optional()?;
        Ok(found.map(|(delivery, claim, left)| {
            let attempt = DeliveryAttempt {
                delivery: id,
                submission: delivery.submission_id,
                kind: delivery.kind,
                status: delivery.status,
                number: delivery.attempts,
                claim,
                next_claim: Uuid::new_v4().to_string(),
            };
            let left = left.and_then(|left| u64::try_from(left).ok()).filter(|left| *left > 0);
            (delivery, left.map(Duration::from_micros), attempt)
        }))
    }

    async fn cancel_if_stale(&self, delivery: &Delivery) -> StoreResult<bool> {
        // The first check does not lock the submission because stale deliveries are rare.
        if stale(&mut *self.connection().await?, delivery).await?.is_none() {
            return Ok(false);
        }
        let (submission, number) = (delivery.submission_id, delivery.run_number + 1);
        transaction!(self, connection => {
            lock(connection, submission).await?;
            let stale = stale(connection, delivery).await?;
            match stale {
                Some(Stale::Deleted) => cancel_for_deleted(connection, submission).await?,
                Some(Stale::Superseded) => supersede(connection, RunKey { submission, number }).await?,
                Some(Stale::Copied) => supersede_by_copy(connection, delivery.id).await?,
                None => {}
            }
            Ok(stale.is_some())
        })
    }

    /// Claims a delivery (*planned → sending*) for the duration of `lease`, after which the sender is presumed dead.
    /// Returns `None` if another attempt has changed the delivery. Even if this call fails, the claim may have been
    /// written (see [`Store::withdraw_claim`]).
    pub async fn claim_delivery(
        &self,
        attempt: &DeliveryAttempt,
        lease: Duration,
    ) -> StoreResult<Option<DeliveryAttempt>> {
        let claimed = attempt.claimed();
        let changed = diesel::update(current_row!(attempt))
            .set((
                deliveries::status.eq(claimed.status),
                deliveries::attempts.eq(claimed.number),
                deliveries::claim.eq(&claimed.claim),
                deliveries::sending_until.eq(after(lease).nullable()),
            ))
            .execute(&mut self.connection().await?)
            .await?;
        Ok((changed == 1).then_some(claimed))
    }

    /// Undoes a claim if the database's response to it was lost. The claim may have been written, may be written later,
    /// or may never be written. The message text must not have been sent and must not be sent afterwards. Returns
    /// whether the delivery belonged to this attempt.
    pub async fn withdraw_claim(
        &self,
        attempt: &DeliveryAttempt,
        reason: FailureReason<'_>,
    ) -> StoreResult<bool> {
        // The order matters: the first statement changes the attempt number, so a late claim has no effect.
        Ok(self.release_delivery(attempt, reason).await?
            || self.release_delivery(&attempt.claimed(), reason).await?)
    }

    /// Records a failed attempt and leaves the delivery *planned*. Call this only if it is certain that the mail server
    /// did not accept the e-mail. Returns whether the delivery belonged to this attempt.
    pub async fn release_delivery(
        &self,
        attempt: &DeliveryAttempt,
        reason: FailureReason<'_>,
    ) -> StoreResult<bool> {
        let changed = diesel::update(current_row!(attempt))
            .set((
                deliveries::status.eq(DeliveryStatus::Planned),
                deliveries::attempts.eq(attempt.attempts_at_end()),
                deliveries::sending_until.eq(None::<UtcTime>),
                deliveries::error_code.eq(reason.code),
                deliveries::error_detail.eq(truncated(reason.detail, MAX_ERROR_DETAIL)),
            ))
            .execute(&mut self.connection().await?)
            .await?;
        Ok(changed == 1)
    }

    /// Records the outcome of a delivery and appends its event, if it has one. Returns `false` and changes nothing if the delivery
    /// does not belong to this attempt.
    pub async fn settle_delivery(
        &self,
        attempt: &DeliveryAttempt,
        status: DeliveryStatus,
        reason: Option<FailureReason<'_>>,
    ) -> StoreResult<bool> {
        self.settle(attempt, attempt.attempts_at_end(), status, reason).await
    }

    /// Settles a planned delivery as *failed* at the end of its retry period, for the reason the last attempt failed.
    pub async fn give_up_delivery(
        &self,
        delivery: &Delivery,
        attempt: &DeliveryAttempt,
    ) -> StoreResult<bool> {
        let reason = FailureReason {
            code: delivery.error_code.as_deref().unwrap_or(FailureCode::GivenUp.as_str()),
            detail: delivery.error_detail.as_deref().unwrap_or_default(),
        };
        self.settle(attempt, attempt.number, DeliveryStatus::Failed, Some(reason)).await
    }

    async fn settle(
        &self,
        attempt: &DeliveryAttempt,
        attempts: i32,
        status: DeliveryStatus,
        reason: Option<FailureReason<'_>>,
    ) -> StoreResult<bool> {
        let step = match status {
            DeliveryStatus::Planned | DeliveryStatus::Sending => return Ok(false),
            DeliveryStatus::Sent => Step::MailSent,
            DeliveryStatus::Unknown => Step::MailUnknown,
            DeliveryStatus::Failed => Step::MailFailed,
        };
        transaction!(self, connection => {
            // The submission is locked first, as in every other transaction, to avoid deadlocks.
            let Some((submission_status, _)) = lock(connection, attempt.submission).await? else {
                return Ok(false);
            };
            let settled = diesel::update(current_row!(attempt))
                .set((
                    deliveries::status.eq(status),
                    deliveries::attempts.eq(attempts),
                    deliveries::error_code.eq(reason.map(|reason| reason.code)),
                    deliveries::error_detail.eq(reason.map(|reason| truncated(reason.detail, MAX_ERROR_DETAIL))),
                    deliveries::settled_at.eq(now().nullable()),
                ))
                .execute(connection)
                .await?;
            // The events of a submission report its outcome.
            if settled == 1 && attempt.kind != DeliveryKind::Link {
                events::append(connection, attempt.submission, submission_status, &[step]).await?;
            }
            Ok(settled == 1)
        })
    }
}

impl DeliveryAttempt {
    fn claimed(&self) -> DeliveryAttempt {
        DeliveryAttempt {
            status: DeliveryStatus::Sending,
            number: self.number + 1,
            claim: self.next_claim.clone(),
            ..self.clone()
        }
    }

    /// An attempt that has claimed the delivery has already been counted.
    fn attempts_at_end(&self) -> i32 {
        match self.status {
            DeliveryStatus::Planned => self.number + 1,
            _ => self.number,
        }
    }
}

#[derive(Clone, Copy)]
enum Stale {
    Deleted,
    Superseded,
    /// Staff corrected the address while the message text was being sent, and a copy was planned for the new address, or
    /// the patient requested another link.
    Copied,
}

/// Returns why an e-mail must no longer be sent, or `None` if it may still be sent. The result is reliable only while
/// the caller holds the submission's lock.
async fn stale(connection: &mut Connection, delivery: &Delivery) -> StoreResult<Option<Stale>> {
    let submission = delivery.submission_id;
    if is_deleted(connection, submission).await? {
        return Ok(Some(Stale::Deleted));
    }
    if delivery.kind != DeliveryKind::Link && is_superseded(connection, delivery).await? {
        return Ok(Some(Stale::Superseded));
    }
    let copies: i64 = deliveries::table
        .filter(deliveries::submission_id.eq(submission))
        .filter(deliveries::run_number.eq(delivery.run_number))
        .filter(deliveries::kind.eq(delivery.kind))
        .filter(deliveries::copy.gt(delivery.copy))
        .count()
        .get_result(connection)
        .await?;
    Ok((copies > 0).then_some(Stale::Copied))
}

/// Whether the submission has been retried since the e-mail was planned.
async fn is_superseded(connection: &mut Connection, delivery: &Delivery) -> StoreResult<bool> {
    let submission = delivery.submission_id;
    let submission_status: Option<Status> = submissions::table
        .find(submission)
        .select(submissions::status)
        .first(connection)
        .await
        .optional()?;
    if submission_status.is_some_and(|status| !status.is_final()) {
        return Ok(true);
    }
    let newer: i64 = deliveries::table
        .filter(deliveries::submission_id.eq(submission))
        .filter(deliveries::run_number.gt(delivery.run_number))
        .filter(deliveries::copy.eq(0))
        .count()
        .get_result(connection)
        .await?;
    Ok(newer > 0)
}

/// Prevents attempts that have not claimed the e-mail yet from sending it, because they may have read the address
/// before it was corrected. An e-mail whose message text is already being sent is not affected. The caller must hold
/// the submission's lock.
pub(crate) async fn restart_unclaimed(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<()> {
    diesel::update(
        deliveries::table
            .filter(deliveries::submission_id.eq(submission))
            .filter(deliveries::status.eq(DeliveryStatus::Planned)),
    )
    .set(deliveries::claim.eq(Uuid::new_v4().to_string()))
    .execute(connection)
    .await?;
    Ok(())
}
