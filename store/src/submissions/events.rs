//! A submission's append-only story: what happened, in the words that the patient reads.

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

/// The name that an event carries on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum EventName {
    /// The submission moved on.
    StatusUpdate,
    /// The result can be read.
    ResultReady,
}
stored_as_text!(EventName);

/// What an event tells.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString, IntoStaticStr,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum Step {
    /// Stored.
    Received,
    /// LoopAI is busy or away, and the submission waits for its turn.
    Waiting,
    /// LoopAI took it.
    Diagnosing,
    /// The result is stored.
    Completed,
    /// The result can be read: the last event of a good end.
    ResultReady,
    /// The diagnosis failed.
    Failed,
    /// No answer before the deadline.
    TimedOut,
    /// Called off.
    Cancelled,
    /// Set going again by staff or an operator.
    Retried,
    /// The mail server took our e-mail.
    MailSent,
    /// The mail server may or may not have taken our e-mail.
    MailUnknown,
    /// The mail server refused our e-mail for good.
    MailFailed,
    /// Staff deleted the submission.
    Deleted,
    /// Staff took the deletion back.
    Restored,
}
stored_as_text!(Step);

impl Step {
    /// The name in SQL and JSON.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether it ends the patient's story, unless staff or an operator sets it going again. What may
    /// follow tells of the e-mail.
    pub fn is_terminal(self) -> bool {
        matches!(self, Step::ResultReady | Step::Failed | Step::TimedOut | Step::Cancelled)
    }

    fn event_name(self) -> EventName {
        match self {
            Step::ResultReady => EventName::ResultReady,
            _ => EventName::StatusUpdate,
        }
    }

    /// What the patient reads.
    fn message(self) -> &'static str {
        match self {
            Step::Received => "We have received your submission.",
            Step::Waiting => {
                "The diagnosis service is busy or away. Your submission waits, and goes on by itself."
            }
            Step::Diagnosing => "Processing your submission...",
            Step::Completed => "Your diagnosis is complete.",
            Step::ResultReady => "Your results are ready! Check your email.",
            Step::Failed => "We could not complete your diagnosis.",
            Step::TimedOut => "Your diagnosis took too long, so we have stopped waiting for it.",
            Step::Cancelled => "Your submission was cancelled.",
            Step::Retried => "Your submission was set going again.",
            Step::MailSent => "We have sent you an e-mail.",
            Step::MailUnknown => "We tried to e-mail you, but cannot tell whether it arrived.",
            Step::MailFailed => "We could not e-mail you.",
            Step::Deleted => "Your submission was deleted.",
            Step::Restored => "Your submission was restored.",
        }
    }
}

/// One line of a submission's story.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = events)]
pub struct Event {
    /// The submission that it tells of.
    pub submission_id: SubmissionId,
    /// Place in the submission's story, from 1, without gaps.
    pub number: i32,
    /// Its name on the wire.
    pub name: EventName,
    /// What it tells.
    pub step: Step,
    /// Where the submission stood then.
    pub status: Status,
    /// What the patient reads.
    pub message: String,
    /// When it happened (UTC).
    pub created_at: UtcTime,
}

/// What a tail of all events reads of one.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = events)]
pub struct EventRow {
    /// The row's number.
    pub id: i64,
    /// The submission that it tells of.
    pub submission_id: SubmissionId,
    /// What it tells: the name of a [`Step`], or of one that only a newer version knows. A tail passes on
    /// what it cannot read; else it would stand still there while versions are mixed.
    pub step: String,
    /// Where the submission stood then.
    pub status: Status,
    /// When it happened (UTC).
    pub created_at: UtcTime,
}

/// Appends steps to the story. Takes the submission's row lock, which is what numbers them.
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

/// Tells that a submission waits, unless that was the last thing told.
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
    /// A submission's events after number `after`, oldest first.
    pub async fn events(&self, submission: SubmissionId, after: i32) -> StoreResult<Vec<Event>> {
        // Their numbers are no larger, so there are no more.
        self.events_page(submission, after, i32::MAX.into()).await
    }

    /// The first `limit` of them.
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

    /// The row number of the newest event of all submissions; 0 when there is none.
    pub async fn latest_event_id(&self) -> StoreResult<i64> {
        let mut connection = self.connection().await?;
        let newest: Option<i64> =
            events::table.select(max(events::id)).first(&mut connection).await?;
        Ok(newest.unwrap_or(0))
    }

    /// Event rows of all submissions that came after row `after`, and those of `holes` that have
    /// appeared since: at most `limit` of them, in row order.
    ///
    /// Row numbers are given out before the commit, so a lower one can appear after a higher one;
    /// a tail therefore remembers the numbers that it missed, and asks for them again.
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
