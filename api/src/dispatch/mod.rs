//! What the API has Temporal do: it starts queued runs, and keeps Temporal and the records together.

pub(crate) mod keeper;
pub(crate) mod outbox;
pub(crate) mod runs;
pub(crate) mod unnamed;
