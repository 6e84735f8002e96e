//! The ledger's rows.

use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, SubmissionId, named};
use crate::db::pool::Store;
use crate::db::schema::deliveries;
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
