//! Rows of the `deliveries` table.

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
use strum::{Display, EnumString, VariantNames};

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString, VariantNames,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum DeliveryKind {
    Result,
    Failed,
    TimedOut,
    Cancelled,
    /// A new link to the submission's page, which the patient has requested.
    Link,
}
stored_as_text!(DeliveryKind);

/// The `run_number` of e-mails that report on no run.
pub(crate) const NO_RUN: i32 = 0;

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString, VariantNames,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum DeliveryStatus {
    Planned,
    Sending,
    Sent,
    /// The connection was lost after the message text was sent, so the mail server may have accepted the e-mail.
    Unknown,
    /// The e-mail will not be sent: it was rejected permanently, was not accepted within four days, was superseded by a
    /// newer run, or was cancelled because its submission was deleted.
    Failed,
}
stored_as_text!(DeliveryStatus);

impl DeliveryStatus {
    /// Whether the outcome is final. *Unknown* is also final.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Sent | Self::Unknown | Self::Failed)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = deliveries)]
pub struct Delivery {
    pub id: DeliveryId,
    pub submission_id: SubmissionId,
    /// 0 if the e-mail reports on no run.
    pub run_number: i32,
    pub kind: DeliveryKind,
    pub status: DeliveryStatus,
    pub attempts: i32,
    pub error_code: Option<String>,
    /// Details of the last failure, for staff.
    pub error_detail: Option<String>,
    pub created_at: UtcTime,
    pub settled_at: Option<UtcTime>,
    /// 0 for the original e-mail, and 1, 2 … for copies resent by staff.
    pub copy: i32,
}

impl Store {
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
