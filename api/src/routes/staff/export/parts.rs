//! An export, read in parts: as many submissions at once as their medical texts leave room for, however many
//! match and however large their results are.

use crate::auth::caller::Via;
use crate::auth::permissions::Permission;
use crate::auth::watch::still_may;
use crate::listing::format::{ExportRow, Format};
use bytes::Bytes;
use diagflow_store::{
    Filter, Key, Listed, Place, Slice, Sort, SortBy, Store, StoreError, StoreResult,
};
use std::collections::VecDeque;
use std::time::Duration;

/// Submissions that are looked up at once, without what is medical: some 100 KiB.
const LOOKED_UP: usize = 500;
/// The same where results come along: to tell its size, the database reads each of them.
const CLINICAL_LOOKED_UP: usize = 50;
/// Bytes of medical texts that a part has at most, unless a single submission has more: a result may have
/// 5 MiB (`activities/src/loopai/client.rs`).
const PART_BYTES: usize = 1024 * 1024;

/// Why an export does not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum CutOff {
    /// The database did not answer.
    #[error("{}", crate::error::kind(.0))]
    Records(#[from] StoreError),
    /// Whoever reads it may not do so any more.
    #[error("its reader may not read it any more")]
    Forbidden,
}

/// What is left of an export.
pub(super) struct Parts {
    store: Store,
    /// By what its reader was recognised.
    via: Via,
    /// How long a session may be unused.
    idle: Duration,
    filter: Filter,
    format: Format,
    clinical: bool,
    /// Where the next look-up begins; `None` when there is nothing more to look up.
    next: Option<Place>,
    /// Looked up, and not written yet.
    waiting: VecDeque<Waiting>,
    is_first: bool,
}

/// A submission, and how many bytes of medical texts come with it.
struct Waiting {
    row: Listed,
    bytes: usize,
}

/// A part of the file.
pub(super) struct Part {
    pub(super) bytes: Bytes,
    /// Submissions in it.
    pub(super) rows: usize,
}

impl Parts {
    /// An export of all that `filter` matches.
    pub(super) fn new(
        store: Store,
        via: Via,
        idle: Duration,
        filter: Filter,
        format: Format,
        clinical: bool,
    ) -> Self {
        let (next, waiting) = (Some(Place::Skip(0)), VecDeque::new());
        Self { store, via, idle, filter, format, clinical, next, waiting, is_first: true }
    }

    /// Whether a part follows.
    pub(super) fn has_more(&self) -> bool {
        self.next.is_some() || !self.waiting.is_empty()
    }

    /// The next part, while its reader may read it.
    pub(super) async fn next(&mut self) -> Result<Part, CutOff> {
        if let Via::Session(session) = self.via {
            // To read on is to use it, however long that takes.
            self.store.use_session(session, self.idle).await?;
        }
        let clinical = self.clinical.then_some(Permission::ClinicalRead);
        let needed: Vec<_> = clinical.into_iter().chain([Permission::SubmissionsExport]).collect();
        match still_may(&self.store, self.via, &needed).await? {
            true => Ok(self.read().await?),
            false => Err(CutOff::Forbidden),
        }
    }

    /// The next part, for a reader who was let in just now.
    pub(super) async fn read(&mut self) -> StoreResult<Part> {
        if self.waiting.is_empty() {
            self.look_up().await?;
        }
        let rows = self.take();
        let mut clinical = match self.clinical {
            true => self.store.clinical(&ids(&rows)).await?,
            false => Default::default(),
        };
        let count = rows.len();
        let rows = rows.into_iter().map(|row| {
            let clinical = clinical.remove(&row.id);
            ExportRow::of(row, clinical)
        });
        let bytes = self.format.written(rows, self.is_first, self.clinical);
        self.is_first = false;
        Ok(Part { bytes: bytes.into(), rows: count })
    }

    async fn look_up(&mut self) -> StoreResult<()> {
        let Some(place) = self.next.take() else { return Ok(()) };
        let sort = Sort { by: SortBy::Created, descending: true };
        let most = if self.clinical { CLINICAL_LOOKED_UP } else { LOOKED_UP };
        let Slice { rows, more } = self.store.list(&self.filter, sort, place, most).await?;
        let last = rows.last().map(|row| Place::After(Key::of(row, sort.by)));
        let sizes = match self.clinical {
            true => self.store.clinical_sizes(&ids(&rows)).await?,
            false => Default::default(),
        };
        self.waiting.extend(rows.into_iter().map(|row| {
            let bytes = sizes.get(&row.id).copied().unwrap_or_default();
            Waiting { row, bytes }
        }));
        self.next = last.filter(|_| more);
        Ok(())
    }

    /// The first of those that wait, and as many more as there is room for.
    fn take(&mut self) -> Vec<Listed> {
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.bytes;
            bytes <= PART_BYTES
        };
        let count = self.waiting.iter().take_while(fits).count().max(1);
        let count = count.min(self.waiting.len());
        self.waiting.drain(..count).map(|waiting| waiting.row).collect()
    }
}

fn ids(rows: &[Listed]) -> Vec<diagflow_store::SubmissionId> {
    rows.iter().map(|row| row.id).collect()
}
