//! The ledger of e-mails that we owe. A mail is planned together with its reason, taken by one
//! sender at a time, and settled as sent, unknown or failed. *Unknown* is never sent again by itself.

use crate::clock::now;
use crate::error::StoreResult;
use crate::events::{self, Step};
use crate::ids::{DeliveryId, SubmissionId, stored_as_text};
use crate::pool::{Store, transaction};
use crate::runs::{RunKey, lock};
use crate::schema::deliveries;
use chrono::NaiveDateTime;
use diesel::deserialize::FromSqlRow;
use diesel::deserialize::{self, FromSql};
use diesel::expression::AsExpression;
use diesel::mysql::{Mysql, MysqlValue};
use diesel::prelude::*;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
use std::fmt;
use std::str::FromStr;

/// What an e-mail tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub enum DeliveryKind {
    /// The result.
    Result,
    /// The diagnosis failed.
    Failed,
    /// No answer came before the deadline.
    TimedOut,
    /// The submission was called off.
    Cancelled,
}

/// What became of an e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub enum DeliveryStatus {
    /// Owed; nobody is sending it.
    Planned,
    /// Somebody is talking to the mail server about it.
    Sending,
    /// The mail server took it.
    Sent,
    /// The conversation broke off after the text was handed over: it may have been taken.
    Unknown,
    /// The mail server refused it for good.
    Failed,
}

/// Gives an enum its names in SQL, both ways.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($type::$variant => $name),+ })
            }
        }
        impl FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok($type::$variant),)+
                    _ => Err(format!("{text:?} is no {}", stringify!($type))),
                }
            }
        }
        stored_as_text!($type);
    };
}

named!(DeliveryKind {
    Result = "result",
    Failed = "failed",
    TimedOut = "timed_out",
    Cancelled = "cancelled",
});
named!(DeliveryStatus {
    Planned = "planned",
    Sending = "sending",
    Sent = "sent",
    Unknown = "unknown",
    Failed = "failed",
});

/// One e-mail that is owed.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = deliveries)]
pub struct Delivery {
    /// Its name; the Message-ID is made from it.
    pub id: DeliveryId,
    /// The submission that it tells of.
    pub submission_id: SubmissionId,
    /// The run that gave the reason.
    pub run_number: i32,
    /// What it tells.
    pub kind: DeliveryKind,
    /// What became of it.
    pub status: DeliveryStatus,
    /// How often sending was begun.
    pub attempts: i32,
    /// Why the last attempt failed, as a stable code.
    pub error_code: Option<String>,
    /// Why the last attempt failed, for staff.
    pub error_detail: Option<String>,
    /// When it was planned (UTC).
    pub created_at: NaiveDateTime,
    /// When it was sent, given up, or became unknown (UTC).
    pub settled_at: Option<NaiveDateTime>,
}

/// What came of asking to send a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Yours: send it, then settle or release it.
    Yours(Delivery),
    /// Nothing to do: it stands like this.
    Settled(DeliveryStatus),
    /// No such delivery.
    Missing,
}

impl Store {
    /// Asks to send a delivery: *planned → sending*.
    ///
    /// One that is found in *sending* was left by a sender that died in the middle: whether its mail
    /// was taken cannot be known, so it is settled as *unknown*. The caller must therefore be the
    /// only one that is sending it now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim_delivery(&self, id: DeliveryId) -> StoreResult<Claim> {
        let found = transaction!(self, connection => {
            let found: Option<Delivery> = deliveries::table
                .find(id)
                .select(Delivery::as_select())
                .for_update()
                .first(connection)
                .await
                .optional()?;
            let Some(delivery) = found else { return Ok(Claim::Missing) };
            if delivery.status != DeliveryStatus::Planned {
                return Ok(Claim::Settled(delivery.status));
            }
            diesel::update(deliveries::table.find(id))
                .set((
                    deliveries::status.eq(DeliveryStatus::Sending),
                    deliveries::attempts.eq(deliveries::attempts + 1),
                    deliveries::sending_at.eq(now().nullable()),
                ))
                .execute(connection)
                .await?;
            Ok(Claim::Yours(delivery))
        })?;
        if found == Claim::Settled(DeliveryStatus::Sending) {
            let why = "the sender died while it was talking to the mail server";
            self.settle_delivery(id, DeliveryStatus::Unknown, Some(("sender_died", why))).await?;
            return Ok(Claim::Settled(DeliveryStatus::Unknown));
        }
        Ok(found)
    }

    /// Gives a delivery back, to be sent later: *sending → planned*. Only for a mail that the server
    /// certainly did not take.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn release_delivery(
        &self,
        id: DeliveryId,
        code: &str,
        detail: &str,
    ) -> StoreResult<()> {
        let mut connection = self.connection().await?;
        diesel::update(
            deliveries::table.find(id).filter(deliveries::status.eq(DeliveryStatus::Sending)),
        )
        .set((
            deliveries::status.eq(DeliveryStatus::Planned),
            deliveries::error_code.eq(code),
            deliveries::error_detail.eq(shortened(detail)),
        ))
        .execute(&mut connection)
        .await?;
        Ok(())
    }

    /// Settles a delivery that is being sent, together with its event. A delivery that is not being
    /// sent stays as it is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settle_delivery(
        &self,
        id: DeliveryId,
        status: DeliveryStatus,
        error: Option<(&str, &str)>,
    ) -> StoreResult<()> {
        let step = match status {
            DeliveryStatus::Planned | DeliveryStatus::Sending => return Ok(()),
            DeliveryStatus::Sent => Step::MailSent,
            DeliveryStatus::Unknown => Step::MailUnknown,
            DeliveryStatus::Failed => Step::MailFailed,
        };
        transaction!(self, connection => {
            let settled = diesel::update(
                deliveries::table.find(id).filter(deliveries::status.eq(DeliveryStatus::Sending)),
            )
            .set((
                deliveries::status.eq(status),
                deliveries::error_code.eq(error.map(|(code, _)| code)),
                deliveries::error_detail.eq(error.map(|(_, detail)| shortened(detail))),
                deliveries::settled_at.eq(now().nullable()),
            ))
            .execute(connection)
            .await?;
            if settled == 0 {
                return Ok(());
            }
            let submission: SubmissionId =
                deliveries::table.find(id).select(deliveries::submission_id).first(connection).await?;
            if let Some((status, _)) = lock(connection, submission).await? {
                events::append(connection, submission, status, &[step]).await?;
            }
            Ok(())
        })
    }

    /// The deliveries of a submission, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn deliveries(&self, submission: SubmissionId) -> StoreResult<Vec<Delivery>> {
        let mut connection = self.connection().await?;
        let found = deliveries::table
            .filter(deliveries::submission_id.eq(submission))
            .order((deliveries::created_at, deliveries::id))
            .select(Delivery::as_select())
            .load(&mut connection)
            .await?;
        Ok(found)
    }
}

/// Writes down that an e-mail is owed; one for each run and kind.
pub(crate) async fn plan(
    connection: &mut AsyncMysqlConnection,
    run: RunKey,
    kind: DeliveryKind,
) -> StoreResult<DeliveryId> {
    let id = DeliveryId::new();
    diesel::insert_into(deliveries::table)
        .values((
            deliveries::id.eq(id),
            deliveries::submission_id.eq(run.submission),
            deliveries::run_number.eq(run.number),
            deliveries::kind.eq(kind),
            deliveries::status.eq(DeliveryStatus::Planned),
            deliveries::attempts.eq(0),
            deliveries::created_at.eq(now()),
        ))
        .execute(connection)
        .await?;
    Ok(id)
}

/// The delivery of `kind` that `run` planned.
pub(crate) async fn of_run(
    connection: &mut AsyncMysqlConnection,
    run: RunKey,
    kind: DeliveryKind,
) -> StoreResult<Option<DeliveryId>> {
    let found = deliveries::table
        .filter(deliveries::submission_id.eq(run.submission))
        .filter(deliveries::run_number.eq(run.number))
        .filter(deliveries::kind.eq(kind))
        .select(deliveries::id)
        .first(connection)
        .await
        .optional()?;
    Ok(found)
}

/// The newest delivery of `kind` that any run of the submission planned.
pub(crate) async fn owed(
    connection: &mut AsyncMysqlConnection,
    submission: SubmissionId,
    kind: DeliveryKind,
) -> StoreResult<Option<DeliveryId>> {
    let found = deliveries::table
        .filter(deliveries::submission_id.eq(submission))
        .filter(deliveries::kind.eq(kind))
        .order(deliveries::created_at.desc())
        .select(deliveries::id)
        .first(connection)
        .await
        .optional()?;
    Ok(found)
}

fn shortened(detail: &str) -> String {
    const LONGEST_DETAIL: usize = 1000;
    detail.chars().take(LONGEST_DETAIL).collect()
}
