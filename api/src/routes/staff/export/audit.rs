//! What the audit is audit_details of an export: that it has begun, before anything of it is shown, and how it ended,
//! when it has. One that has only begun ended with the process that wrote it.

use crate::error::kind;
use diagflow_store::{INTERRUPTED, NewAuditEntry, STARTED, Store, StoreResult};

/// An export that has begun, in the audit. Dropped before [`ExportAudit::done`], it was broken off.
pub(super) struct ExportAudit {
    store: Store,
    entry: NewAuditEntry,
    /// Submissions that were handed out.
    rows: usize,
    has_ended: bool,
}

impl ExportAudit {
    /// Writes down that an export begins.
    ///
    /// # Errors
    /// When the database does not take it; then nothing of it must be shown.
    pub(super) async fn start(store: Store, entry: NewAuditEntry) -> StoreResult<Self> {
        store.append_audit_entry(&entry.clone().with_result(STARTED)).await?;
        Ok(Self { store, entry, rows: 0, has_ended: false })
    }

    /// Notes that so many submissions more are handed out.
    pub(super) fn add_rows(&mut self, rows: usize) {
        self.rows += rows;
    }

    /// Writes down that everything was handed out.
    ///
    /// # Errors
    /// When the database does not take it; the export then counts as broken off.
    pub(super) async fn finish(mut self) -> StoreResult<()> {
        self.store.append_audit_entry(&self.end_entry()).await?;
        self.has_ended = true;
        Ok(())
    }

    fn end_entry(&self) -> NewAuditEntry {
        self.entry.clone().with("rows", self.rows)
    }
}

impl Drop for ExportAudit {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.has_ended {
            return;
        }
        let (store, entry) = (self.store.clone(), self.end_entry().with_result(INTERRUPTED));
        runtime.spawn(async move {
            if let Err(error) = store.append_audit_entry(&entry).await {
                tracing::error!(error = kind(&error), "the end of an export is not in the audit");
            }
        });
    }
}
