//! The status of a result e-mail, as shown in the patient's event stream.

use crate::codes::FailureCode;
use crate::db::error::StoreResult;
use crate::db::ids::SubmissionId;
use crate::db::pool::Store;
use crate::db::schema::deliveries;
use crate::deliveries::model::{Delivery, DeliveryKind, DeliveryStatus};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use std::cmp::Reverse;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultEmail {
    pub status: Option<DeliveryStatus>,
    /// Time since the result was stored, according to the database's clock.
    pub age: Duration,
}

impl Store {
    pub async fn result_email(&self, submission: SubmissionId) -> StoreResult<Option<ResultEmail>> {
        let rows: Vec<(Delivery, i64)> = deliveries::table
            .filter(deliveries::submission_id.eq(submission))
            .filter(deliveries::kind.eq(DeliveryKind::Result))
            .select((
                Delivery::as_select(),
                sql::<BigInt>("TIMESTAMPDIFF(MICROSECOND, created_at, NOW(6))"),
            ))
            .load(&mut self.connection().await?)
            .await?;
        // The first e-mail of the latest run was planned when its result was stored.
        let first = rows.iter().min_by_key(|(it, _)| (Reverse(it.run_number), it.copy));
        let Some(&(_, age)) = first else { return Ok(None) };
        let age = Duration::from_micros(u64::try_from(age).unwrap_or_default());
        let (deliveries, _): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        Ok(Some(ResultEmail { status: result_email_status(&deliveries), age }))
    }
}

/// Returns the status of the latest e-mail for the latest result, or `None` if no e-mail is due because there is no
/// result or the submission has been retried.
pub fn result_email_status(deliveries: &[Delivery]) -> Option<DeliveryStatus> {
    let results = deliveries.iter().filter(|delivery| delivery.kind == DeliveryKind::Result);
    let latest = results.max_by_key(|delivery| (delivery.run_number, delivery.copy))?;
    let is_superseded = latest.error_code.as_deref() == Some(FailureCode::Superseded.as_str());
    (!is_superseded).then_some(latest.status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::ids::DeliveryId;
    use crate::db::utc_time::UtcTime;

    fn delivery(run_number: i32, copy: i32, status: DeliveryStatus) -> Delivery {
        Delivery {
            id: DeliveryId::new(),
            submission_id: SubmissionId::new(),
            run_number,
            kind: DeliveryKind::Result,
            status,
            attempts: 1,
            error_code: None,
            error_detail: None,
            created_at: UtcTime::default(),
            settled_at: None,
            copy,
        }
    }

    #[test]
    fn the_latest_copy_determines_the_status() {
        use DeliveryStatus::{Failed, Planned, Sent};
        let status = |copies: &[DeliveryStatus]| {
            let copies = (0..).zip(copies).map(|(copy, status)| delivery(1, copy, *status));
            result_email_status(&copies.collect::<Vec<_>>())
        };
        assert_eq!(status(&[]), None);
        assert_eq!(status(&[Failed]), Some(Failed));
        assert_eq!(status(&[Failed, Planned]), Some(Planned), "the e-mail is resent");
        // The first e-mail may have been sent to an address that staff corrected later.
        assert_eq!(status(&[Sent, Planned]), Some(Planned));
    }

    #[test]
    fn only_emails_for_the_latest_result_determine_the_status() {
        let (old, new) =
            (delivery(1, 0, DeliveryStatus::Sent), delivery(2, 0, DeliveryStatus::Planned));
        assert_eq!(result_email_status(&[new, old.clone()]), Some(DeliveryStatus::Planned));
        let other =
            Delivery { kind: DeliveryKind::Failed, ..delivery(3, 0, DeliveryStatus::Failed) };
        assert_eq!(result_email_status(&[old, other]), Some(DeliveryStatus::Sent));
    }

    #[test]
    fn no_email_is_due_once_the_submission_is_retried() {
        let failed = |code: FailureCode| Delivery {
            error_code: Some(code.to_string()),
            ..delivery(1, 0, DeliveryStatus::Failed)
        };
        assert_eq!(result_email_status(&[failed(FailureCode::Superseded)]), None);
        let rejected = result_email_status(&[failed(FailureCode::SmtpRejected)]);
        assert_eq!(rejected, Some(DeliveryStatus::Failed));
    }
}
