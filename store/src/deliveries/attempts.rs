//! Attempts at an e-mail: each claims it just before its text goes out, and writes down what came of it.

use crate::codes::FailureCode;
use crate::db::clock::{after, now};
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{deliveries, submissions};
use crate::db::sql_text::{MAX_ERROR_DETAIL, truncated};
use crate::db::utc_time::UtcTime;
use crate::deliveries::model::{Delivery, DeliveryStatus};
use crate::deliveries::plan::{cancel_for_deleted, supersede};
use crate::submissions::events::{self, Step};
use crate::submissions::row::{is_deleted, lock};
use crate::submissions::status::Status;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::RunQueryDsl;
use std::time::Duration;
use uuid::Uuid;

/// The delivery of an attempt, while the ledger stands as the attempt knows it.
macro_rules! current_row {
    ($attempt:expr) => {
        deliveries::table
            .find($attempt.delivery)
            .filter(deliveries::status.eq($attempt.status))
            .filter(deliveries::attempts.eq($attempt.number))
            .filter(deliveries::claim.eq(&$attempt.claim))
    };
}

/// One attempt at a delivery. What it writes counts only while the ledger stands as the attempt knows
/// it: an attempt that was overtaken by another one changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryAttempt {
    delivery: DeliveryId,
    submission: SubmissionId,
    /// Where the ledger stands for this attempt: *planned*, or *sending* by its own claim.
    status: DeliveryStatus,
    /// `deliveries.attempts` as this attempt knows it. It only grows.
    number: i32,
    /// `deliveries.claim` as this attempt knows it: the name of the last claim.
    claim: String,
    /// The name of the claim that this attempt makes. Random: two attempts that know the same number
    /// would count up to the same next one.
    next_claim: String,
}

/// How a delivery stands for somebody who wants to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    /// Owed. Claim it when nothing but the text is left to say.
    Planned(Delivery, DeliveryAttempt),
    /// Somebody else is handing the text over, and must be done in this time.
    Sending {
        /// How long to wait before looking again.
        left: Duration,
    },
    /// Nothing to do: it stands like this.
    Settled(DeliveryStatus),
    /// Its sender's time was over: this look settled it as *unknown*.
    Abandoned,
    /// No such delivery.
    NotFound,
}

/// Why an attempt came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureReason<'a> {
    /// A stable code.
    pub code: &'a str,
    /// For staff.
    pub detail: &'a str,
}

impl<'a> FailureReason<'a> {
    /// From its code and detail.
    pub fn new(code: FailureCode, detail: &'a str) -> Self {
        Self { code: code.as_str(), detail }
    }
}

impl Store {
    /// Tells how a delivery stands.
    ///
    /// One that is found in *sending* after its sender's time was left by a sender that died, or could
    /// not write down what came of it: whether the mail was taken cannot be known, so it is settled as
    /// *unknown*. One that is found *planned* although its submission is deleted, or was set going again
    /// since, was under way when that happened, and came back: it is called off now.
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
                detail: "the sender did not say what came of it",
            };
            if self.settle_delivery(&attempt, DeliveryStatus::Unknown, Some(reason)).await? {
                return Ok(DeliveryState::Abandoned);
            }
            // Somebody else was faster: what they wrote counts.
        }
    }

    /// A delivery, what is left of its sender's time if anything is, and an attempt at it.
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
                status: delivery.status,
                number: delivery.attempts,
                claim,
                next_claim: Uuid::new_v4().to_string(),
            };
            let left = left.and_then(|left| u64::try_from(left).ok()).filter(|left| *left > 0);
            (delivery, left.map(Duration::from_micros), attempt)
        }))
    }

    /// Calls a planned delivery off that must not be sent any more; says whether it must not.
    async fn cancel_if_stale(&self, delivery: &Delivery) -> StoreResult<bool> {
        // Nearly none is: that is found out without a lock.
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
                None => {}
            }
            Ok(stale.is_some())
        })
    }

    /// Takes a planned delivery for handing its text over, *planned → sending*, for the time `lease`:
    /// then others may take its sender for dead. `None` when another attempt was faster.
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

    /// Takes an attempt's claim back, whether it was written, was not, or still is on its way. For a
    /// claim whose answer was lost: its text was not sent, and will not be. Says whether the delivery
    /// is this attempt's.
    pub async fn withdraw_claim(
        &self,
        attempt: &DeliveryAttempt,
        reason: FailureReason<'_>,
    ) -> StoreResult<bool> {
        // In this order: after the first statement, a claim that arrives late finds another number.
        Ok(self.release_delivery(attempt, reason).await?
            || self.release_delivery(&attempt.claimed(), reason).await?)
    }

    /// Notes that an attempt failed, and leaves the delivery *planned*, to be sent later. Only for a
    /// mail that the server certainly did not take. Says whether the delivery was this attempt's.
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

    /// Settles a delivery, together with its event. Says whether the delivery was this attempt's;
    /// otherwise nothing is changed.
    pub async fn settle_delivery(
        &self,
        attempt: &DeliveryAttempt,
        status: DeliveryStatus,
        reason: Option<FailureReason<'_>>,
    ) -> StoreResult<bool> {
        self.settle(attempt, attempt.attempts_at_end(), status, reason).await
    }

    /// Settles a planned delivery as failed because its time is over. What stands there as the reason of
    /// the last attempt stays.
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
            // The submission first, as in every other transaction: no deadlocks.
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
            if settled == 1 {
                events::append(connection, attempt.submission, submission_status, &[step]).await?;
            }
            Ok(settled == 1)
        })
    }
}

impl DeliveryAttempt {
    /// This attempt, once its claim is written.
    fn claimed(&self) -> DeliveryAttempt {
        DeliveryAttempt {
            status: DeliveryStatus::Sending,
            number: self.number + 1,
            claim: self.next_claim.clone(),
            ..self.clone()
        }
    }

    /// How often was tried when this attempt is over. A claim has counted itself already.
    fn attempts_at_end(&self) -> i32 {
        match self.status {
            DeliveryStatus::Planned => self.number + 1,
            _ => self.number,
        }
    }
}

/// Why an e-mail that is owed must not be sent any more.
#[derive(Clone, Copy)]
enum Stale {
    /// Its submission is deleted.
    Deleted,
    /// A newer run has newer news, or will have.
    Superseded,
}

/// Why an e-mail must not be sent, if it must not. Certain for whoever holds its submission's lock.
async fn stale(connection: &mut Connection, delivery: &Delivery) -> StoreResult<Option<Stale>> {
    let submission = delivery.submission_id;
    if is_deleted(connection, submission).await? {
        return Ok(Some(Stale::Deleted));
    }
    let submission_status: Option<Status> = submissions::table
        .find(submission)
        .select(submissions::status)
        .first(connection)
        .await
        .optional()?;
    if submission_status.is_some_and(|status| !status.is_final()) {
        return Ok(Some(Stale::Superseded));
    }
    let newer: i64 = deliveries::table
        .filter(deliveries::submission_id.eq(submission))
        .filter(deliveries::run_number.gt(delivery.run_number))
        .filter(deliveries::copy.eq(0))
        .count()
        .get_result(connection)
        .await?;
    Ok((newer > 0).then_some(Stale::Superseded))
}
