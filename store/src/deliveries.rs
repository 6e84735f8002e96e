//! The ledger of e-mails that we owe. A mail is planned together with its reason, claimed by one
//! attempt at a time just before its text goes out ([`attempts`]), and settled as sent, unknown or failed.
//! *Unknown* is never sent again by itself.

mod attempts;

pub use attempts::{Attempt, Reason, Standing};

use crate::clock::now;
use crate::connection::Connection;
use crate::error::StoreResult;
use crate::ids::{DeliveryId, SubmissionId, named};
use crate::pool::Store;
use crate::runs::RunKey;
use crate::schema::deliveries;
use crate::told;
use chrono::NaiveDateTime;
use diesel::deserialize::FromSqlRow;
use diesel::deserialize::{self, FromSql};
use diesel::expression::AsExpression;
use diesel::mysql::{Mysql, MysqlValue};
use diesel::prelude::*;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;

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
    /// Owed; nothing of it was said to the mail server.
    Planned,
    /// Its text is being handed over.
    Sending,
    /// The mail server took it.
    Sent,
    /// The conversation broke off after the text was handed over: it may have been taken.
    Unknown,
    /// It will not be sent: refused for good, given up after days, overtaken by a newer run's, or called off
    /// since its submission was deleted.
    Failed,
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
    /// How often sending it was tried.
    pub attempts: i32,
    /// Why the last attempt failed, as a stable code.
    pub error_code: Option<String>,
    /// Why the last attempt failed, for staff.
    pub error_detail: Option<String>,
    /// When it was planned (UTC).
    pub created_at: NaiveDateTime,
    /// When it was sent, given up, or became unknown (UTC).
    pub settled_at: Option<NaiveDateTime>,
    /// 0 for the first one of its run, then counted: the same e-mail, sent again by staff.
    pub copy: i32,
}

impl Store {
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

/// Writes down that an e-mail is owed; one for each run and kind. What an earlier run still owed is not
/// sent any more: the patient would read old news after this. What a run may have told before is left to staff.
pub(crate) async fn plan(
    connection: &mut Connection,
    run: RunKey,
    kind: DeliveryKind,
) -> StoreResult<()> {
    overtake(connection, run).await?;
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
    told::leave_to_staff(connection, run, id).await
}

/// Settles what runs before `run` still owe: it is not sent any more.
pub(crate) async fn overtake(connection: &mut Connection, run: RunKey) -> StoreResult<()> {
    call_off(connection, run, "superseded").await
}

/// Settles what a submission still owes that is deleted: it is not sent any more. For whoever holds its
/// lock.
pub(crate) async fn call_off_deleted(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<()> {
    call_off(connection, RunKey { submission, number: i32::MAX }, "submission_deleted").await
}

/// Settles as failed what runs before `end` owe, but for an e-mail whose text is being handed over.
async fn call_off(connection: &mut Connection, end: RunKey, code: &str) -> StoreResult<()> {
    diesel::update(
        deliveries::table
            .filter(deliveries::submission_id.eq(end.submission))
            .filter(deliveries::run_number.lt(end.number))
            .filter(deliveries::status.eq(DeliveryStatus::Planned)),
    )
    .set((
        deliveries::status.eq(DeliveryStatus::Failed),
        deliveries::error_code.eq(code),
        deliveries::settled_at.eq(now().nullable()),
        deliveries::start_after.eq(None::<NaiveDateTime>),
    ))
    .execute(connection)
    .await?;
    Ok(())
}
