//! The stream of all changes, for the list of submissions. A client that reconnects gets all changes that it missed,
//! and possibly some that it already has.
//!
//! The id of an event is its row number in the table. Rows can become visible out of order (see [`super::cursor`]), so
//! a client may also have missed rows shortly before its last id.

use crate::events::cursor::{GAP_TIMEOUT, MAX_GAPS};
use crate::events::event_hub::{DATABASE_RETRY, EventHub};
use crate::events::own_task::in_own_task;
use crate::events::wire;
use crate::extract::last_event_id::LastEventId;
use crate::extract::time_format::rfc3339;
use crate::openapi::names::{SubmissionStatus, SubmissionStep};
use async_stream::stream;
use axum::body::Bytes;
use diagflow_store::{EventRow, Store, StoreResult, SubmissionId};
use futures::Stream;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use utoipa::ToSchema;

/// Rows per query.
const BATCH: i64 = 1000;
/// A client that missed more gets `list_changed` and reads the list again.
const MAX_MISSED: i64 = 10_000;

pub(crate) struct AllEvents {
    pub(crate) store: Store,
    pub(crate) hub: EventHub,
    pub(crate) last: LastEventId,
    /// Interval at which an idle stream queries the events.
    pub(crate) heartbeat: Duration,
}

/// Data of the event `submission_changed`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SubmissionChangedEvent)]
pub(crate) struct ChangeBody {
    /// Id of the submission that changed.
    #[schema(value_type = String, format = "uuid")]
    submission_id: SubmissionId,
    /// Status of the submission after the change.
    status: SubmissionStatus,
    /// Machine-readable name of the event.
    #[schema(value_type = SubmissionStep)]
    step: String,
    /// Time of the event.
    #[schema(format = "date-time")]
    at: String,
}

pub(crate) fn all_events(source: AllEvents) -> impl Stream<Item = Bytes> + Send {
    stream! {
        // Starts before the first query, so that no change is missed in between.
        let mut listener = source.hub.listen_to_all();
        let Started { mut seen, missed } = loop {
            match source.start().await {
                Ok(started) => break started,
                Err(error) => {
                    tracing::debug!(error = error.kind(), "event stream is waiting for the database");
                }
            }
            tokio::time::sleep(DATABASE_RETRY).await;
        };
        // Sent only now, because a client that has received this gets every later change.
        yield wire::RETRY;
        match missed {
            MissedChanges::TooMany => yield list_changed(seen.newest),
            MissedChanges::Changes(changes) => for change in changes {
                yield message(&change);
            },
        }
        loop {
            let changes = tokio::select! {
                changes = listener.next() => match changes {
                    Some(changes) => changes,
                    // The stream was too slow. After reconnecting, the client gets the changes that it missed.
                    None => break,
                },
                // A notification can be missed; an event must not be.
                () = tokio::time::sleep(source.heartbeat) => source.read(seen.newest).await.into(),
            };
            for change in changes.iter().filter(|change| seen.is_new(change.id)) {
                yield message(change);
            }
        }
    }
}

struct Started {
    seen: SeenRows,
    missed: MissedChanges,
}

enum MissedChanges {
    Changes(Vec<EventRow>),
    TooMany,
}

impl AllEvents {
    /// Reads the changes that the client missed.
    async fn start(&self) -> StoreResult<Started> {
        let (store, last) = (self.store.clone(), self.last);
        in_own_task(async move { read_missed(&store, last).await }).await
    }

    /// Rows after row `after`. Empty if the database does not respond, because the next query returns them.
    async fn read(&self, after: i64) -> Vec<EventRow> {
        let store = self.store.clone();
        let read = in_own_task(async move { store.events_after_id(after, &[], BATCH).await });
        read.await.unwrap_or_default()
    }
}

async fn read_missed(store: &Store, last: LastEventId) -> StoreResult<Started> {
    let newest = store.latest_event_id().await?;
    let last = last.up_to(newest);
    let comes_back = last.is_some();
    let last = last.unwrap_or(newest);
    let mut seen = SeenRows { newest: last, rows: BTreeSet::new() };
    if newest - last > MAX_MISSED {
        seen.newest = newest;
        return Ok(Started { seen, missed: MissedChanges::TooMany });
    }
    let mut missed = Vec::new();
    let mut rows = store.events_after_id(last - MAX_GAPS, &[], BATCH).await?;
    let known = rows.iter().rfind(|change| change.id <= last);
    // A lower row that is older than any open transaction was already visible.
    let recent = known.map(|change| change.created_at - GAP_TIMEOUT);
    loop {
        let read = rows.len() as i64;
        let end = rows.last().map(|change| change.id);
        for change in rows {
            let is_recent = recent.is_some_and(|recent| change.created_at >= recent);
            if seen.is_new(change.id) && (change.id > last || (comes_back && is_recent)) {
                missed.push(change);
            }
        }
        match end {
            Some(end) if read >= BATCH => rows = store.events_after_id(end, &[], BATCH).await?,
            _ => return Ok(Started { seen, missed: MissedChanges::Changes(missed) }),
        }
    }
}

/// Recently sent rows, which may be read again.
struct SeenRows {
    newest: i64,
    rows: BTreeSet<i64>,
}

impl SeenRows {
    /// Records a row. Returns whether it is new.
    fn is_new(&mut self, row: i64) -> bool {
        // Gaps that are still queried are newer than this row.
        let oldest = self.newest - 2 * MAX_GAPS;
        if row <= oldest || !self.rows.insert(row) {
            return false;
        }
        self.newest = self.newest.max(row);
        self.rows = self.rows.split_off(&oldest);
        true
    }
}

fn message(change: &EventRow) -> Bytes {
    let body = ChangeBody {
        submission_id: change.submission_id,
        status: change.status.into(),
        step: change.step.clone(),
        at: rfc3339(change.created_at),
    };
    wire::event("submission_changed", change.id, &body)
}

/// Makes the client read the list again and continue from `newest`.
fn list_changed(newest: i64) -> Bytes {
    wire::event("list_changed", newest, &json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_new_only_once_even_if_it_appears_late() {
        let mut seen = SeenRows { newest: 10, rows: BTreeSet::new() };
        assert!(seen.is_new(12));
        assert!(!seen.is_new(12));
        assert!(seen.is_new(11), "it appeared late");
        assert!(!seen.is_new(11));
        assert!(seen.is_new(13));
    }

    #[test]
    fn the_set_of_seen_rows_is_bounded() {
        let mut seen = SeenRows { newest: 0, rows: BTreeSet::new() };
        for row in 1..10_000 {
            assert!(seen.is_new(row));
        }
        assert!(seen.rows.len() as i64 <= 2 * MAX_GAPS + 2);
        assert!(!seen.is_new(1), "too old to have appeared now");
    }
}
