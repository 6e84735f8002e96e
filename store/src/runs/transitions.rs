//! The moves of the main story: asked, answered, ended. Each is one transaction that changes the
//! state by compare-and-set and appends the event; repeating one changes nothing.

use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::RunKey;
use crate::db::pool::{Store, transaction};
use crate::db::schema::{results, runs, submissions};
use crate::deliveries::model::DeliveryKind;
use crate::deliveries::plan;
use crate::loopai::slots;
use crate::submissions::counters;
use crate::submissions::events::{self, Step};
use crate::submissions::results::DiagnosisResult;
use crate::submissions::row::lock;
use crate::submissions::status::Status;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// A bad end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, as a stable code.
    pub code: String,
    /// Why, for staff; at most 1000 characters are kept.
    pub detail: String,
}

/// How a run can end without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// LoopAI could not diagnose it, or refused.
    Failed,
    /// No answer before the deadline.
    TimedOut,
    /// Called off.
    Cancelled,
}

impl Outcome {
    /// The state that it leaves the submission in.
    pub fn status(self) -> Status {
        match self {
            Outcome::Failed => Status::Failed,
            Outcome::TimedOut => Status::TimedOut,
            Outcome::Cancelled => Status::Cancelled,
        }
    }

    fn step(self) -> Step {
        match self {
            Outcome::Failed => Step::Failed,
            Outcome::TimedOut => Step::TimedOut,
            Outcome::Cancelled => Step::Cancelled,
        }
    }

    fn mail(self) -> DeliveryKind {
        match self {
            Outcome::Failed => DeliveryKind::Failed,
            Outcome::TimedOut => DeliveryKind::TimedOut,
            Outcome::Cancelled => DeliveryKind::Cancelled,
        }
    }
}

/// The code of an end that staff asked for; the same as a run has that was called off in Temporal.
pub(crate) const CODE_CANCELLED: &str = "cancelled";

/// What a write found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored<T = ()> {
    /// The submission stands as this run wanted it, by this call or an earlier one.
    Done(T),
    /// The submission stands otherwise, and stays so.
    Otherwise(Status),
    /// A newer run has taken over.
    Superseded,
}

/// Longest detail that the column holds.
const LONGEST_DETAIL: usize = 1000;

impl Store {
    /// LoopAI took the submission: records its execution and moves *pending → processing*.
    ///
    /// Returns the execution that the run has. That is the one recorded first, which differs from
    /// `execution_id` where LoopAI started a second one for a repeated request: only one is followed.
    ///
    /// # Errors
    /// When the database does not take it; nothing is changed then.
    pub async fn diagnosis_requested(
        &self,
        run: RunKey,
        agent_id: i32,
        execution_id: &str,
    ) -> StoreResult<Stored<String>> {
        transaction!(self, connection => {
            let Some(status) = standing(connection, run).await? else {
                return Ok(Stored::Superseded);
            };
            let recorded = record_execution(connection, run, agent_id, execution_id).await?;
            if set_status(connection, run, status, Status::Processing, None).await? {
                events::append(connection, run.submission, Status::Processing, &[Step::Diagnosing])
                    .await?;
                return Ok(Stored::Done(recorded));
            }
            Ok(match status {
                Status::Processing => Stored::Done(recorded),
                other => Stored::Otherwise(other),
            })
        })
    }

    /// The result came: stores it, moves *processing → completed* and plans the e-mail.
    ///
    /// # Errors
    /// When the database does not take it; nothing is changed then.
    pub async fn diagnosis_completed(
        &self,
        run: RunKey,
        result: &DiagnosisResult,
    ) -> StoreResult<Stored> {
        transaction!(self, connection => {
            let Some(status) = standing(connection, run).await? else {
                return Ok(Stored::Superseded);
            };
            if set_status(connection, run, status, Status::Completed, None).await? {
                diesel::insert_into(results::table)
                    .values((
                        results::submission_id.eq(run.submission),
                        results::run_number.eq(run.number),
                        results::body.eq(result.to_text()),
                        results::created_at.eq(now()),
                    ))
                    .execute(connection)
                    .await?;
                let steps = [Step::Completed, Step::ResultReady];
                events::append(connection, run.submission, Status::Completed, &steps).await?;
                plan::plan(connection, run, DeliveryKind::Result).await?;
                return Ok(Stored::Done(()));
            }
            Ok(match status {
                Status::Completed => Stored::Done(()),
                other => Stored::Otherwise(other),
            })
        })
    }

    /// The run ended without a result: records why, moves the submission to that end and plans the
    /// e-mail that tells the patient.
    ///
    /// # Errors
    /// When the database does not take it; nothing is changed then.
    pub async fn diagnosis_ended(&self, run: RunKey, ending: &Ending) -> StoreResult<Stored> {
        let end = ending.outcome.status();
        transaction!(self, connection => {
            let Some(status) = standing(connection, run).await? else {
                return Ok(Stored::Superseded);
            };
            if end_run(connection, run, status, ending).await? {
                return Ok(Stored::Done(()));
            }
            Ok(if status == end { Stored::Done(()) } else { Stored::Otherwise(status) })
        })
    }
}

/// Ends a run without a result: state, event and the e-mail that is owed. Says whether the state was one
/// that this may follow. The caller holds the submission's lock, and found it as `from`.
pub(crate) async fn end_run(
    connection: &mut Connection,
    run: RunKey,
    from: Status,
    ending: &Ending,
) -> StoreResult<bool> {
    let end = ending.outcome.status();
    let moved = set_status(connection, run, from, end, Some(ending)).await?;
    if moved {
        events::append(connection, run.submission, end, &[ending.outcome.step()]).await?;
        plan::plan(connection, run, ending.outcome.mail()).await?;
    }
    Ok(moved)
}

/// Locks the submission of `run` and tells where it stands; `None` when the run must not touch it.
async fn standing(connection: &mut Connection, run: RunKey) -> StoreResult<Option<Status>> {
    Ok(match lock(connection, run.submission).await? {
        Some((status, current)) if current == run.number => Some(status),
        _ => None,
    })
}

/// Records LoopAI's execution of a run that has none; returns the one that it has. The caller holds
/// the submission's lock.
async fn record_execution(
    connection: &mut Connection,
    run: RunKey,
    agent_id: i32,
    execution_id: &str,
) -> StoreResult<String> {
    let row = runs::table.find((run.submission, run.number));
    let recorded: Option<String> = row.select(runs::loopai_execution_id).first(connection).await?;
    if let Some(recorded) = recorded {
        return Ok(recorded);
    }
    diesel::update(row)
        .set((
            runs::loopai_execution_id.eq(execution_id),
            runs::loopai_agent_id.eq(agent_id),
            runs::requested_at.eq(now().nullable()),
        ))
        .execute(connection)
        .await?;
    Ok(execution_id.to_owned())
}

/// Compare-and-set of the state by the table of moves; says whether it moved. The caller holds the
/// submission's lock, and found it as `from`.
async fn set_status(
    connection: &mut Connection,
    run: RunKey,
    from: Status,
    to: Status,
    ending: Option<&Ending>,
) -> StoreResult<bool> {
    let moved = diesel::update(
        submissions::table
            .find(run.submission)
            .filter(submissions::run_number.eq(run.number))
            .filter(submissions::status.eq_any(to.sources())),
    )
    .set((
        submissions::status.eq(to),
        submissions::error_code.eq(ending.map(|ending| ending.code.as_str())),
        submissions::error_detail.eq(ending.map(|ending| shortened(&ending.detail))),
    ))
    .execute(connection)
    .await?
        == 1;
    if moved {
        counters::moved(connection, run.submission, from, to).await?;
    }
    if moved && to.is_final() {
        diesel::update(submissions::table.find(run.submission))
            .set(submissions::finished_at.eq(now().nullable()))
            .execute(connection)
            .await?;
        diesel::update(runs::table.find((run.submission, run.number)))
            .set(runs::finished_at.eq(now().nullable()))
            .execute(connection)
            .await?;
        slots::leave(connection, run).await?;
    }
    Ok(moved)
}

fn shortened(detail: &str) -> String {
    detail.chars().take(LONGEST_DETAIL).collect()
}
