//! The ledger's rows.

use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, SubmissionId};
use crate::db::pool::Store;
use crate::db::schema::deliveries;
use crate::db::sql_text::stored_as_text;
use crate::db::utc_time::UtcTime;
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use strum::{Display, EnumString};

/// What an e-mail tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
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
stored_as_text!(DeliveryKind);

/// What became of an e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
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
stored_as_text!(DeliveryStatus);

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
    pub created_at: UtcTime,
    /// When it was sent, given up, or became unknown (UTC).
    pub settled_at: Option<UtcTime>,
    /// 0 for the first one of its run, then counted: the same e-mail, sent again by staff.
    pub copy: i32,
}

impl Store {
    /// The deliveries of a submission, oldest first.
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
