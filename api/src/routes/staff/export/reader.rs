//! An export, read in reader: as many submissions at once as their medical texts leave room for, however many
//! match and however large their results are.

use crate::auth::caller::AuthMethod;
use crate::auth::permissions::Permission;
use crate::auth::watch::has_permissions;
use crate::listing::export_format::{ExportFormat, ExportRow};
use bytes::Bytes;
use diagflow_store::{
    Page, PagePosition, Sort, SortBy, SortKey, Store, StoreError, StoreResult, SubmissionFilter,
    SubmissionSummary,
};
use std::collections::VecDeque;
use std::time::Duration;

/// Submissions that are looked up at once, without what is medical: some 100 KiB.
const LOOKUP_ROWS: usize = 500;
/// The same where results come along: to tell its size, the database reads each of them.
const CLINICAL_LOOKUP_ROWS: usize = 50;
/// Bytes of medical texts that a chunk has at most, unless a single submission has more: a result may have
/// 5 MiB (`activities/src/loopai/client.rs`).
const MAX_CHUNK_BYTES: usize = 1024 * 1024;

/// Why an export does not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    /// The database did not answer.
    #[error("{}", crate::error::kind(.0))]
    Records(#[from] StoreError),
    /// Whoever reads it may not do so any more.
    #[error("its reader may not read it any more")]
    Forbidden,
}

/// What is left of an export.
pub(super) struct ExportReader {
    store: Store,
    /// By what its reader was recognised.
    auth_method: AuthMethod,
    /// How long a session may be unused.
    idle: Duration,
    filter: SubmissionFilter,
    format: ExportFormat,
    clinical: bool,
    /// Where the next look-up begins; `None` when there is nothing more to look up.
    next: Option<PagePosition>,
    /// Looked up, and not written yet.
    pending: VecDeque<PendingRow>,
    is_first: bool,
}

/// A submission, and how many bytes of medical texts come with it.
struct PendingRow {
    row: SubmissionSummary,
    bytes: usize,
}

/// A chunk of the file.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// Submissions in it.
    pub(super) rows: usize,
}

impl ExportReader {
    /// An export of all that `filter` matches.
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

    /// Whether a chunk follows.
    pub(super) fn has_more(&self) -> bool {
        self.next.is_some() || !self.pending.is_empty()
    }

    /// The next chunk, while its reader may read it.
    pub(super) async fn next(&mut self) -> Result<Chunk, ExportError> {
        if let AuthMethod::Session(session) = self.auth_method {
            // To read on is to use it, however long that takes.
            self.store.authenticate_session(session, self.idle).await?;
        }
        let clinical = self.clinical.then_some(Permission::ClinicalRead);
        let needed: Vec<_> = clinical.into_iter().chain([Permission::SubmissionsExport]).collect();
        match has_permissions(&self.store, self.auth_method, &needed).await? {
            true => Ok(self.read().await?),
            false => Err(ExportError::Forbidden),
        }
    }

    /// The next chunk, for a reader who was let in just now.
    pub(super) async fn read(&mut self) -> StoreResult<Chunk> {
        if self.pending.is_empty() {
            self.look_up().await?;
        }
        let rows = self.take_fitting();
        let mut clinical = match self.clinical {
            true => self.store.clinical_data(&ids(&rows)).await?,
            false => Default::default(),
        };
        let count = rows.len();
        let rows = rows.into_iter().map(|row| {
            let clinical = clinical.remove(&row.id);
            ExportRow::of(row, clinical)
        });
        let bytes = self.format.encode(rows, self.is_first, self.clinical);
        self.is_first = false;
        Ok(Chunk { bytes: bytes.into(), rows: count })
    }

    async fn look_up(&mut self) -> StoreResult<()> {
        let Some(place) = self.next.take() else { return Ok(()) };
        let sort = Sort { by: SortBy::Created, descending: true };
        let most = if self.clinical { CLINICAL_LOOKUP_ROWS } else { LOOKUP_ROWS };
        let Page { rows, has_more: more } =
            self.store.list_submissions(&self.filter, sort, place, most).await?;
        let last = rows.last().map(|row| PagePosition::After(SortKey::of(row, sort.by)));
        let sizes = match self.clinical {
            true => self.store.clinical_data_sizes(&ids(&rows)).await?,
            false => Default::default(),
        };
        self.pending.extend(rows.into_iter().map(|row| {
            let bytes = sizes.get(&row.id).copied().unwrap_or_default();
            PendingRow { row, bytes }
        }));
        self.next = last.filter(|_| more);
        Ok(())
    }

    /// The first of those that wait, and as many more as there is room for.
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

fn ids(rows: &[SubmissionSummary]) -> Vec<diagflow_store::SubmissionId> {
    rows.iter().map(|row| row.id).collect()
}
