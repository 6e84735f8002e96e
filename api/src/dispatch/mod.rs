//! What the API has Temporal do: it starts queued runs, and keeps Temporal and the records together.

pub(crate) mod orphaned_files;
pub(crate) mod reconciler;
pub(crate) mod start_runs;
pub(crate) mod temporal_runs;
