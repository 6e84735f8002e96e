//! Reads an export in chunks of limited size, regardless of how many submissions it contains and how large their
//! results are.

use crate::auth::auth_method::AuthMethod;
use crate::auth::permission_polls::has_permissions;
use crate::auth::permissions::Permission;
use crate::listing::export_format::{ExportFormat, ExportRow};
use crate::listing::page::runs;
use bytes::Bytes;
use diagflow_store::{
    Page, PagePosition, Sort, SortBy, SortKey, Store, StoreError, StoreResult, SubmissionFilter,
    SubmissionId, SubmissionSummary,
};
use std::collections::VecDeque;
use std::time::Duration;

/// Number of submissions read per query without medical information. They take up about 100 KiB of memory, or 2 MiB if
/// all of them have long notes.
const LOOKUP_ROWS: usize = 500;
/// Number of submissions read per query with medical information. The number is smaller because the database has to
/// read each result to determine its size.
const CLINICAL_LOOKUP_ROWS: usize = 50;
/// Maximum total size of the medical texts in a chunk. A single submission may exceed the limit, because a result can
/// be up to 5 MiB (`activities/src/loopai/client.rs`).
const MAX_CHUNK_BYTES: usize = 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error("{}", .0.kind())]
    Store(#[from] StoreError),
    #[error("the caller no longer has the required permissions")]
    Forbidden,
}

pub(super) struct ExportReader {
    store: Store,
    auth_method: AuthMethod,
    idle: Duration,
    filter: SubmissionFilter,
    format: ExportFormat,
    clinical: bool,
    /// Start position of the next query. `None` after the last query.
    next: Option<PagePosition>,
    /// Rows that have been read but not sent yet.
    pending: VecDeque<PendingRow>,
    is_first: bool,
}

struct PendingRow {
    row: SubmissionSummary,
    /// Size of the medical texts.
    bytes: usize,
}

pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) rows: usize,
}

impl ExportReader {
    pub(super) fn new(
        store: Store,
        auth_method: AuthMethod,
        idle: Duration,
        filter: SubmissionFilter,
        format: ExportFormat,
        clinical: bool,
    ) -> Self {
        let (next, pending) = (Some(PagePosition::Skip(0)), VecDeque::new());
        Self { store, auth_method, idle, filter, format, clinical, next, pending, is_first: true }
    }

    pub(super) fn has_more(&self) -> bool {
        self.next.is_some() || !self.pending.is_empty()
    }

    /// Returns the next chunk if the caller still has the required permissions.
    pub(super) async fn next(&mut self) -> Result<Chunk, ExportError> {
        if let AuthMethod::Session(session) = self.auth_method {
            // An export in progress keeps its session alive.
            self.store.authenticate_session(session, self.idle).await?;
        }
        let clinical = self.clinical.then_some(Permission::ClinicalRead);
        let required: Vec<_> =
            clinical.into_iter().chain([Permission::SubmissionsExport]).collect();
        match has_permissions(&self.store, self.auth_method, &required).await? {
            true => Ok(self.read().await?),
            false => Err(ExportError::Forbidden),
        }
    }

    /// Returns the next chunk without checking the permissions again.
    pub(super) async fn read(&mut self) -> StoreResult<Chunk> {
        if self.pending.is_empty() {
            self.look_up().await?;
        }
        let mut rows = self.take_fitting();
        let mut clinical = match self.clinical {
            true => self.store.clinical_data(&ids(&rows)).await?,
            false => Default::default(),
        };
        let mut email_states = self.store.email_states(&runs(&rows)).await?;
        // A submission may have been erased since its row was read.
        let erased = self.store.erased_among(&ids(&rows)).await?;
        rows.retain(|row| row.erased_at.is_some() || !erased.contains(&row.id));
        let count = rows.len();
        let rows = rows.into_iter().map(|row| {
            let clinical = clinical.remove(&row.id);
            let email_state = email_states.remove(&row.id);
            ExportRow::of(row, email_state, clinical)
        });
        let bytes = self.format.encode(rows, self.is_first, self.clinical);
        self.is_first = false;
        Ok(Chunk { bytes: bytes.into(), rows: count })
    }

    async fn look_up(&mut self) -> StoreResult<()> {
        let Some(position) = self.next.take() else { return Ok(()) };
        let sort = Sort { by: SortBy::Created, descending: true };
        let limit = if self.clinical { CLINICAL_LOOKUP_ROWS } else { LOOKUP_ROWS };
        let Page { rows, has_more } =
            self.store.list_submissions(&self.filter, sort, position, limit).await?;
        let last = rows.last().map(|row| PagePosition::After(SortKey::of(row, sort.by)));
        let sizes = match self.clinical {
            true => self.store.clinical_data_sizes(&ids(&rows)).await?,
            false => Default::default(),
        };
        self.pending.extend(rows.into_iter().map(|row| {
            let bytes = sizes.get(&row.id).copied().unwrap_or_default();
            PendingRow { row, bytes }
        }));
        self.next = last.filter(|_| has_more);
        Ok(())
    }

    /// Takes the first pending row, and as many more as fit into a chunk.
    fn take_fitting(&mut self) -> Vec<SubmissionSummary> {
        let mut bytes = 0;
        let fits = |pending: &&PendingRow| {
            bytes += pending.bytes;
            bytes <= MAX_CHUNK_BYTES
        };
        let count = self.pending.iter().take_while(fits).count().max(1);
        let count = count.min(self.pending.len());
        self.pending.drain(..count).map(|pending| pending.row).collect()
    }
}

fn ids(rows: &[SubmissionSummary]) -> Vec<SubmissionId> {
    rows.iter().map(|row| row.id).collect()
}
