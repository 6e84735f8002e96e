//! The stream of all changes, for the list of submissions. A listener that comes back gets what it missed;
//! something that it has already may then come again, but nothing is left out.
//!
//! An event's id is its row in the table. Rows can appear out of order (see [`super::cursor`]), so "after
//! row n" is not everything that a listener misses: rows of shortly before count as well.

use crate::auth::watch::AccessWatch;
use crate::events::cursor::{GAP_TIMEOUT, MAX_GAPS};
use crate::events::event_hub::EventHub;
use crate::events::submission_events::{CLIENT_RETRY, DATABASE_RETRY};
use crate::extract::last_event_id::LastEventId;
use crate::extract::time_format::rfc3339;
use crate::telemetry::OpenStream;
use async_stream::stream;
use axum::response::sse;
use diagflow_store::{EventRow, Store, StoreError, StoreResult, SubmissionId};
use futures::Stream;
use serde::Serialize;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;
use tracing::Instrument;
use utoipa::ToSchema;

/// Most rows of one reading.
const BATCH: i64 = 1000;
/// Most rows that a listener that comes back is told; one that missed more is told to read its list anew.
const MAX_MISSED: i64 = 10_000;

/// What a stream needs.
pub(crate) struct AllEvents {
    pub(crate) store: Store,
    pub(crate) hub: EventHub,
    /// The last event that the listener got, where it comes back.
    pub(crate) last: LastEventId,
    pub(crate) heartbeat: Duration,
    /// Ends the stream.
    pub(crate) watch: AccessWatch,
}

/// The data of one change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeBody {
    /// The submission that changed.
    #[schema(value_type = String, format = "uuid")]
    submission_id: SubmissionId,
    /// Where it stood then.
    #[schema(example = "failed")]
    status: &'static str,
    /// What happened.
    #[schema(example = "failed")]
    step: String,
    /// When it happened (UTC).
    #[schema(format = "date-time")]
    at: String,
}

/// Follows all submissions, until the watch ends it.
pub(crate) fn all_events(
    source: AllEvents,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    stream! {
        let _open = OpenStream::new();
        // Before the first reading: see `EventHub::listen_to_all`.
        let mut listener = source.hub.listen_to_all();
        let Some(Started { mut seen, missed }) = source.start().await else { return };
        // Only now: whoever has read this is told everything that happens from then on.
        yield Ok(sse::Event::default().retry(CLIENT_RETRY));
        match missed {
            MissedChanges::TooMany => yield Ok(list_changed(seen.newest)),
            MissedChanges::Changes(changes) => for change in changes {
                yield Ok(message(&change));
            },
        }
        loop {
            let changes = tokio::select! {
                changes = listener.next() => match changes {
                    Some(changes) => changes,
                    // Too slow for the tail: whoever comes back is told what it missed.
                    None => break,
                },
                () = tokio::time::sleep(source.heartbeat) => {
                    yield Ok(sse::Event::default().comment(""));
                    // Something may have been missed, and must not be.
                    source.read(seen.newest).await.into()
                }
                () = source.watch.ended() => {
                    yield Ok(sse::Event::default().retry(CLIENT_RETRY));
                    break;
                }
            };
            for change in changes.iter().filter(|change| seen.is_new(change.id)) {
                yield Ok(message(change));
            }
        }
    }
}

/// Where a stream begins.
struct Started {
    seen: SeenRows,
    missed: MissedChanges,
}

enum MissedChanges {
    Changes(Vec<EventRow>),
    TooMany,
}

impl AllEvents {
    /// Reads what came after the last event that the listener got; tries until the database answers.
    /// `None` when the stream is to end.
    async fn start(&self) -> Option<Started> {
        loop {
            let (store, last) = (self.store.clone(), self.last);
            match in_own_task(async move { read_missed(&store, last).await }).await {
                Ok(started) => return Some(started),
                Err(error) => {
                    tracing::debug!(error = error.kind(), "a stream waits for the database")
                }
            }
            tokio::select! {
                () = tokio::time::sleep(DATABASE_RETRY) => {}
                () = self.watch.ended() => return None,
            }
        }
    }

    /// Rows after row `after`; none while the database does not answer: the next reading gets them.
    async fn read(&self, after: i64) -> Vec<EventRow> {
        let store = self.store.clone();
        let read = in_own_task(async move { store.events_after_id(after, &[], BATCH).await });
        read.await.unwrap_or_default()
    }
}

/// A listener may go away at any moment, and a statement that is dropped in the middle costs its
/// connection.
async fn in_own_task<T: Send + 'static>(
    work: impl Future<Output = StoreResult<T>> + Send + 'static,
) -> StoreResult<T> {
    let done = tokio::spawn(work.in_current_span()).await;
    done.map_err(|_| StoreError::Unavailable("the reading ended early".to_owned()))?
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
    // A row of before that was written longer ago than any transaction lasts was there already.
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

/// The rows that a listener got, of those that may still come again.
struct SeenRows {
    newest: i64,
    rows: BTreeSet<i64>,
}

impl SeenRows {
    /// Notes a row; whether it is new.
    fn is_new(&mut self, row: i64) -> bool {
        // Rows that the tail still asks for are not older.
        let oldest = self.newest - 2 * MAX_GAPS;
        if row <= oldest || !self.rows.insert(row) {
            return false;
        }
        self.newest = self.newest.max(row);
        self.rows = self.rows.split_off(&oldest);
        true
    }
}

fn message(change: &EventRow) -> sse::Event {
    let body = ChangeBody {
        submission_id: change.submission_id,
        status: change.status.name(),
        step: change.step.clone(),
        at: rfc3339(change.created_at),
    };
    sse::Event::default()
        .event("submission_changed")
        .id(change.id.to_string())
        .json_data(body)
        .expect("texts and numbers become JSON")
}

/// Tells the listener to read its list anew, and where to go on.
fn list_changed(newest: i64) -> sse::Event {
    sse::Event::default().event("list_changed").id(newest.to_string()).data("{}")
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
