//! Erases submissions at the end of the retention period.

use crate::audit::entry::{Action, Actor, ActorKind, ObjectKind, SUCCESS};
use crate::audit::log::NewAuditEntry;
use crate::erasure::eraser::{EraseError, EraseOutcome, EraseRequest, Eraser};
use crate::erasure::retention::{ExpiredSubmission, RetentionPeriod};
use serde_json::Map;

impl Eraser {
    /// Erases all expired submissions, oldest first, in batches of up to `batch`, and returns the number erased. After
    /// each batch, calls `report` with the number erased in that batch. If an erasure fails, continues with the rest and
    /// then returns the first error.
    pub async fn erase_expired(
        &self,
        period: RetentionPeriod,
        batch: i64,
        entry: &NewAuditEntry,
        mut report: impl FnMut(usize),
    ) -> Result<usize, EraseError> {
        let (mut total, mut first_error, mut last) = (0, None, None);
        loop {
            let expired = self.store.expired_submissions(period, last, batch).await?;
            if expired.is_empty() {
                return first_error.map_or(Ok(total), Err);
            }
            last = expired.last().copied();
            let (erased, error) = self.erase_batch(&expired, period, entry).await?;
            total += erased;
            first_error = first_error.or(error);
            report(erased);
        }
    }

    /// Returns the number of submissions erased, and the first error that concerns only one of them.
    async fn erase_batch(
        &self,
        batch: &[ExpiredSubmission],
        period: RetentionPeriod,
        entry: &NewAuditEntry,
    ) -> Result<(usize, Option<EraseError>), EraseError> {
        let reason = format!("stored for longer than {} days", period.days());
        let (mut erased, mut first_error) = (0, None);
        for expired in batch {
            let request = EraseRequest {
                submission: expired.id,
                reason: &reason,
                entry,
                original: None,
                retention: Some(period),
            };
            match self.run(request).await {
                Ok(EraseOutcome::Erased(_)) => erased += 1,
                Ok(_) => {}
                Err(error) if error.concerns_all() => return Err(error),
                Err(error) => {
                    tracing::error!(submission = %expired.id, %error, "cannot erase an expired submission");
                    first_error.get_or_insert(error);
                }
            }
        }
        Ok((erased, first_error))
    }

    /// Returns the audit entry for the background task that erases expired submissions.
    pub fn retention_entry(&self) -> NewAuditEntry {
        NewAuditEntry {
            key: self.audit_key.clone(),
            actor: Actor { kind: ActorKind::Service, id: None, name: "retention".to_owned() },
            action: Action::SubmissionErase,
            object_kind: ObjectKind::Submission,
            object_id: String::new(),
            result: SUCCESS.to_owned(),
            address: String::new(),
            request_id: String::new(),
            details: Map::new(),
        }
    }
}
