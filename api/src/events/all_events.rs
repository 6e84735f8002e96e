//! The stream of changes to all submissions, which keeps the list of submissions up to date. A client that reconnects
//! receives every change it missed, and possibly some it has already received.
//!
//! An event's id is its row number in the table. Rows can become visible out of order (see [`super::cursor`]), so a
//! client may also have missed rows numbered slightly below its last id.

use crate::error::ApiResult;
use crate::events::cursor::{GAP_TIMEOUT, MAX_GAPS};
use crate::events::event_hub::{DATABASE_RETRY, EventHub};
use crate::events::wire;
use crate::extract::last_event_id::LastEventId;
use crate::extract::time_format::rfc3339;
use crate::openapi::names::{SubmissionStatus, SubmissionStep};
use crate::own_task::run_to_completion;
use async_stream::stream;
use axum::body::Bytes;
use diagflow_store::{EventRow, Store, StoreResult, SubmissionId};
use futures::Stream;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use utoipa::ToSchema;

/// Maximum number of rows per query.
const BATCH: i64 = 1000;
/// A client that missed more changes than this receives `list_changed` and has to reload the list.
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
        // Start listening before the first query, so that no change in between is missed.
        let mut listener = source.hub.listen_to_all();
        let Started { mut seen, missed } = loop {
            match source.start().await {
                Ok(started) => break started,
                Err(error) => {
                    tracing::debug!(error = error.code(), "event stream is waiting for the database");
                }
            }
            tokio::time::sleep(DATABASE_RETRY).await;
        };
        // Sent only now, because a client that has received `retry` must receive every later change.
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
                    // The stream fell behind. After reconnecting, the client receives the changes it missed.
                    None => break,
                },
                // Queries the events in case a notification was missed.
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
    /// Reads the changes the client missed.
    async fn start(&self) -> ApiResult<Started> {
        let (store, last) = (self.store.clone(), self.last);
        Ok(run_to_completion(async move { read_missed(&store, last).await }).await??)
    }

    /// Returns the rows after row `after`. If the database does not respond, returns no rows, and the next query will
    /// return them.
    async fn read(&self, after: i64) -> Vec<EventRow> {
        let store = self.store.clone();
        let read = run_to_completion(async move { store.events_after_id(after, &[], BATCH).await });
        read.await.ok().and_then(Result::ok).unwrap_or_default()
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
    // Lower-numbered rows that are older than any open transaction were already visible.
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

/// Rows that were sent recently. Later queries may return them again.
struct SeenRows {
    newest: i64,
    rows: BTreeSet<i64>,
}

impl SeenRows {
    /// Records a row, and returns whether it is new.
    fn is_new(&mut self, row: i64) -> bool {
        // Every gap that is still being queried has a higher number than this row.
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

/// Returns an event that makes the client reload the list and continue from `newest`.
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
        assert!(seen.is_new(11), "row 11 appeared late");
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
        assert!(!seen.is_new(1), "row 1 is too old to be new");
    }
}
