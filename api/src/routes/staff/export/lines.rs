//! What the audit is told of an export: that it has begun, before anything of it is shown, and how it ended,
//! when it has. One that has only begun ended with the process that wrote it.

use crate::error::kind;
use diagflow_store::{AuditEntry, BEGUN, BROKEN_OFF, Store, StoreResult};

/// An export that has begun, in the audit. Dropped before [`Lines::done`], it was broken off.
pub(super) struct Lines {
    store: Store,
    line: AuditEntry,
    /// Submissions that were handed out.
    rows: usize,
    has_ended: bool,
}

impl Lines {
    /// Writes down that an export begins.
    ///
    /// # Errors
    /// When the database does not take it; then nothing of it must be shown.
    pub(super) async fn begun(store: Store, line: AuditEntry) -> StoreResult<Self> {
        store.audit(&line.clone().resulting_in(BEGUN)).await?;
        Ok(Self { store, line, rows: 0, has_ended: false })
    }

    /// Notes that so many submissions more are handed out.
    pub(super) fn handed_out(&mut self, rows: usize) {
        self.rows += rows;
    }

    /// Writes down that everything was handed out.
    ///
    /// # Errors
    /// When the database does not take it; the export then counts as broken off.
    pub(super) async fn done(mut self) -> StoreResult<()> {
        self.store.audit(&self.ending()).await?;
        self.has_ended = true;
        Ok(())
    }

    fn ending(&self) -> AuditEntry {
        self.line.clone().with("rows", self.rows)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.has_ended {
            return;
        }
        let (store, line) = (self.store.clone(), self.ending().resulting_in(BROKEN_OFF));
        runtime.spawn(async move {
            if let Err(error) = store.audit(&line).await {
                tracing::error!(error = kind(&error), "the end of an export is not in the audit");
            }
        });
    }
}
