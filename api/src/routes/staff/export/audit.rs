//! Writes two audit entries for each export: one before any data is sent, and one when the export ends. If the second
//! entry is missing, the process stopped during the export.

use diagflow_store::{INTERRUPTED, NewAuditEntry, STARTED, Store, StoreResult};

/// Records the export as interrupted if dropped before [`ExportAudit::finish`] is called.
pub(super) struct ExportAudit {
    store: Store,
    entry: NewAuditEntry,
    /// Number of submissions sent so far.
    rows: usize,
    has_ended: bool,
}

impl ExportAudit {
    pub(super) async fn start(store: Store, entry: NewAuditEntry) -> StoreResult<Self> {
        store.append_audit_entry(&entry.clone().with_result(STARTED)).await?;
        Ok(Self { store, entry, rows: 0, has_ended: false })
    }

    pub(super) fn add_rows(&mut self, rows: usize) {
        self.rows += rows;
    }

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
                tracing::error!(error = error.kind(), "cannot record the end of an export");
            }
        });
    }
}
