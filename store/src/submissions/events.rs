//! The append-only log of a submission's events.

use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::SubmissionId;
use crate::db::pool::Store;
use crate::db::schema::{events, submissions};
use crate::db::utc_time::UtcTime;
use crate::submissions::messages::event_message;
use crate::submissions::status::Status;
use crate::submissions::steps::{EventName, Step};
use diesel::dsl::max;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = events)]
pub struct Event {
    pub submission_id: SubmissionId,
    /// Number of the event within its submission, starting at 1 without gaps.
    pub number: i32,
    pub name: EventName,
    pub step: Step,
    pub status: Status,
    pub message: String,
    pub created_at: UtcTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = events)]
pub struct EventRow {
    pub id: i64,
    pub submission_id: SubmissionId,
    /// Name of a [`Step`] in this version or a newer one. The name is plain text because an unknown step must not cause
    /// an error while two versions are running at the same time.
    pub step: String,
    pub status: Status,
    pub created_at: UtcTime,
}

/// Appends events. Locks the submission's row to keep the event numbers in order.
pub(crate) async fn append(
    connection: &mut Connection,
    submission: SubmissionId,
    status: Status,
    steps: &[Step],
) -> StoreResult<()> {
    let count = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    diesel::update(submissions::table.find(submission))
        .set((
            submissions::last_event.eq(submissions::last_event + count),
            submissions::updated_at.eq(now()),
        ))
        .execute(connection)
        .await?;
    let last: i32 = submissions::table
        .find(submission)
        .select(submissions::last_event)
        .first(connection)
        .await?;
    let rows: Vec<_> = (last - count + 1..)
        .zip(steps)
        .map(|(number, step)| {
            (
                events::submission_id.eq(submission),
                events::number.eq(number),
                events::name.eq(step.event_name()),
                events::step.eq(*step),
                events::status.eq(status),
                events::message.eq(event_message(*step, status)),
                events::created_at.eq(now()),
            )
        })
        .collect();
    diesel::insert_into(events::table).values(rows).execute(connection).await?;
    Ok(())
}

/// Appends a *waiting* event unless the last event is already *waiting*.
pub(crate) async fn append_waiting(
    connection: &mut Connection,
    submission: SubmissionId,
    status: Status,
) -> StoreResult<()> {
    let newest: Option<Step> = events::table
        .filter(events::submission_id.eq(submission))
        .order(events::number.desc())
        .select(events::step)
        .first(connection)
        .await
        .optional()?;
    if newest == Some(Step::Waiting) {
        return Ok(());
    }
    append(connection, submission, status, &[Step::Waiting]).await
}

impl Store {
    pub async fn events(&self, submission: SubmissionId, after: i32) -> StoreResult<Vec<Event>> {
        self.events_page(submission, after, i32::MAX.into()).await
    }

    pub async fn events_page(
        &self,
        submission: SubmissionId,
        after: i32,
        limit: i64,
    ) -> StoreResult<Vec<Event>> {
        let mut connection = self.connection().await?;
        let found = events::table
            .filter(events::submission_id.eq(submission))
            .filter(events::number.gt(after))
            .order(events::number)
            .limit(limit)
            .select(Event::as_select())
            .load(&mut connection)
            .await?;
        Ok(found)
    }

    /// Returns the highest event id across all submissions, or 0 if there are no events.
    pub async fn latest_event_id(&self) -> StoreResult<i64> {
        let mut connection = self.connection().await?;
        let newest: Option<i64> =
            events::table.select(max(events::id)).first(&mut connection).await?;
        Ok(newest.unwrap_or(0))
    }

    /// Returns up to `limit` events across all submissions, ordered by id: the events after the id `after`, and the
    /// events with ids in `gaps` that have since become visible.
    ///
    /// Ids are assigned before the commit, so a lower id can become visible after a higher one. Readers therefore
    /// remember gaps between ids and request them again.
    pub async fn events_after_id(
        &self,
        after: i64,
        gaps: &[i64],
        limit: i64,
    ) -> StoreResult<Vec<EventRow>> {
        let mut connection = self.connection().await?;
        let rows = events::table
            .filter(events::id.gt(after).or(events::id.eq_any(gaps)))
            .order(events::id)
            .limit(limit)
            .select(EventRow::as_select())
            .load(&mut connection)
            .await?;
        Ok(rows)
    }
}
