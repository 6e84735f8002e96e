//! A submission's append-only events, with the messages that the patient reads.

use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::SubmissionId;
use crate::db::pool::Store;
use crate::db::schema::{events, submissions};
use crate::db::sql_text::stored_as_text;
use crate::db::utc_time::UtcTime;
use crate::submissions::status::Status;
use diesel::deserialize::FromSqlRow;
use diesel::dsl::max;
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use strum::{Display, EnumString, IntoStaticStr};

#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum EventName {
    StatusUpdate,
    ResultReady,
}
stored_as_text!(EventName);

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString, IntoStaticStr,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum Step {
    Received,
    /// LoopAI is busy or unavailable, and the submission waits for its turn.
    Waiting,
    Diagnosing,
    Completed,
    /// The last event of a successful run.
    ResultReady,
    Failed,
    TimedOut,
    Cancelled,
    Retried,
    MailSent,
    MailUnknown,
    MailFailed,
    Deleted,
    Restored,
}
stored_as_text!(Step);

impl Step {
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether the patient's event stream ends after this step. Unless the submission is restarted, only events about
    /// e-mails may follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Step::ResultReady | Step::Failed | Step::TimedOut | Step::Cancelled)
    }

    fn event_name(self) -> EventName {
        match self {
            Step::ResultReady => EventName::ResultReady,
            _ => EventName::StatusUpdate,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Step::Received => "We have received your submission.",
            Step::Waiting => {
                "The diagnosis service is busy right now. Your submission is waiting, and will continue automatically."
            }
            Step::Diagnosing => "Processing your submission...",
            Step::Completed => "Your diagnosis is complete.",
            Step::ResultReady => "Your results are ready! Check your email.",
            Step::Failed => {
                "We could not complete your diagnosis. We will send you an e-mail with the next steps."
            }
            Step::TimedOut => {
                "Your diagnosis took too long, so we stopped it. We will send you an e-mail with the next steps."
            }
            Step::Cancelled => {
                "Your submission was cancelled. We will send you an e-mail about it."
            }
            Step::Retried => "Your submission has been restarted.",
            Step::MailSent => "We have sent you an e-mail.",
            Step::MailUnknown => {
                "We tried to send you an e-mail, but do not know whether it arrived."
            }
            Step::MailFailed => "We could not send you an e-mail.",
            Step::Deleted => "Your submission was deleted.",
            Step::Restored => "Your submission was restored.",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = events)]
pub struct Event {
    pub submission_id: SubmissionId,
    /// Counts from 1 without gaps within the submission.
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
    /// A [`Step`] of this or a newer version. It is text, because an unknown step must not cause an error while two
    /// versions run at the same time.
    pub step: String,
    pub status: Status,
    pub created_at: UtcTime,
}

/// Takes the submission's row lock, which orders the numbers.
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
                events::message.eq(step.message()),
                events::created_at.eq(now()),
            )
        })
        .collect();
    diesel::insert_into(events::table).values(rows).execute(connection).await?;
    Ok(())
}

/// Appends *waiting*, unless that is already the last event.
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

    /// The highest event id of all submissions, or 0 if there are no events.
    pub async fn latest_event_id(&self) -> StoreResult<i64> {
        let mut connection = self.connection().await?;
        let newest: Option<i64> =
            events::table.select(max(events::id)).first(&mut connection).await?;
        Ok(newest.unwrap_or(0))
    }

    /// Returns up to `limit` events of all submissions in the order of their ids: the events after the id `after`, and
    /// those of `gaps` that have become visible since.
    ///
    /// Ids are assigned before the commit, so a lower id can become visible after a higher one. Readers therefore store
    /// the gaps between ids and request them again.
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
