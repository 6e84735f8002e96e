//! Erases submissions at the end of the retention period.

use crate::audit::entry::{Action, Actor, ActorKind, ObjectKind, SUCCESS};
use crate::audit::log::NewAuditEntry;
use crate::erasure::eraser::{EraseError, EraseOutcome, EraseRequest, Eraser};
use crate::erasure::retention::RetentionPeriod;
use serde_json::Map;

impl Eraser {
    /// Erases up to `limit` expired submissions, oldest first, and returns the number erased. If an erasure fails,
    /// continues with the rest and then returns the first error.
    pub async fn erase_expired(
        &self,
        period: RetentionPeriod,
        limit: i64,
        entry: &NewAuditEntry,
    ) -> Result<usize, EraseError> {
        let reason = format!("stored for longer than {} days", period.days());
        let (mut erased, mut first_error) = (0, None);
        for expired in self.store.expired_submissions(period, limit).await? {
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
        first_error.map_or(Ok(erased), Err)
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
