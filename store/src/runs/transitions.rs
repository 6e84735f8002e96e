//! State transitions made by runs. Each transition is a single transaction that changes the state by compare-and-set
//! and appends the event. Repeating a transition changes nothing.

use crate::codes::FailureCode;
use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::RunKey;
use crate::db::pool::{Store, transaction};
use crate::db::schema::{results, runs, submissions};
use crate::db::sql_text::{MAX_ERROR_DETAIL, truncated};
use crate::db::utc_time::UtcTime;
use crate::deliveries::model::DeliveryKind;
use crate::deliveries::plan;
use crate::loopai::slots;
use crate::submissions::counters;
use crate::submissions::events;
use crate::submissions::results::DiagnosisResult;
use crate::submissions::row::lock;
use crate::submissions::status::Status;
use crate::submissions::steps::Step;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    pub status: EndStatus,
    pub code: String,
    /// Details for staff, truncated to 1000 characters.
    pub detail: String,
}

impl RunEnd {
    pub(crate) fn cancelled() -> Self {
        let code = FailureCode::Cancelled.to_string();
        Self { status: EndStatus::Cancelled, code, detail: String::new() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndStatus {
    Failed,
    TimedOut,
    Cancelled,
}

impl EndStatus {
    pub fn final_status(self) -> Status {
        match self {
            EndStatus::Failed => Status::Failed,
            EndStatus::TimedOut => Status::TimedOut,
            EndStatus::Cancelled => Status::Cancelled,
        }
    }

    fn step(self) -> Step {
        match self {
            EndStatus::Failed => Step::Failed,
            EndStatus::TimedOut => Step::TimedOut,
            EndStatus::Cancelled => Step::Cancelled,
        }
    }

    fn delivery_kind(self) -> DeliveryKind {
        match self {
            EndStatus::Failed => DeliveryKind::Failed,
            EndStatus::TimedOut => DeliveryKind::TimedOut,
            EndStatus::Cancelled => DeliveryKind::Cancelled,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransitionOutcome<T = ()> {
    /// The submission is in the requested state as a result of this call or an earlier one.
    Applied(T),
    Conflict(Status),
    Superseded,
}

impl Store {
    /// Records LoopAI's execution and sets the state *processing*. Returns the execution that was recorded first, which
    /// differs from `execution_id` if LoopAI started a second execution for a repeated request.
    pub async fn start_processing(
        &self,
        run: RunKey,
        agent_id: i32,
        execution_id: &str,
    ) -> StoreResult<TransitionOutcome<String>> {
        transaction!(self, connection => {
            let Some(status) = lock_current(connection, run).await? else {
                return Ok(TransitionOutcome::Superseded);
            };
            let recorded = record_execution(connection, run, agent_id, execution_id).await?;
            if change_status(connection, run, status, Status::Processing, None).await? {
                events::append(connection, run.submission, Status::Processing, &[Step::Diagnosing])
                    .await?;
                return Ok(TransitionOutcome::Applied(recorded));
            }
            Ok(match status {
                Status::Processing => TransitionOutcome::Applied(recorded),
                other => TransitionOutcome::Conflict(other),
            })
        })
    }

    /// Stores the result and plans the e-mail.
    pub async fn complete_run(
        &self,
        run: RunKey,
        result: &DiagnosisResult,
    ) -> StoreResult<TransitionOutcome> {
        let body = result.to_text();
        transaction!(self, connection => {
            let Some(status) = lock_current(connection, run).await? else {
                return Ok(TransitionOutcome::Superseded);
            };
            if change_status(connection, run, status, Status::Completed, None).await? {
                connection.check_size(body.len())?;
                diesel::insert_into(results::table)
                    .values((
                        results::submission_id.eq(run.submission),
                        results::run_number.eq(run.number),
                        results::body.eq(&body),
                        results::created_at.eq(now()),
                    ))
                    .execute(connection)
                    .await?;
                let steps = [Step::Completed, Step::ResultReady];
                events::append(connection, run.submission, Status::Completed, &steps).await?;
                plan::plan(connection, run, DeliveryKind::Result).await?;
                return Ok(TransitionOutcome::Applied(()));
            }
            Ok(match status {
                Status::Completed => TransitionOutcome::Applied(()),
                other => TransitionOutcome::Conflict(other),
            })
        })
    }

    /// Ends a run without a result and plans the e-mail.
    pub async fn end_run(&self, run: RunKey, end: &RunEnd) -> StoreResult<TransitionOutcome> {
        let final_status = end.status.final_status();
        transaction!(self, connection => {
            let Some(status) = lock_current(connection, run).await? else {
                return Ok(TransitionOutcome::Superseded);
            };
            if apply_end(connection, run, status, end).await? {
                return Ok(TransitionOutcome::Applied(()));
            }
            Ok(if status == final_status { TransitionOutcome::Applied(()) } else { TransitionOutcome::Conflict(status) })
        })
    }
}

/// Ends a run if its submission's state allows it. Returns whether this call ended the run. The caller must hold the
/// submission's lock and have read the state `from`.
pub(crate) async fn apply_end(
    connection: &mut Connection,
    run: RunKey,
    from: Status,
    end: &RunEnd,
) -> StoreResult<bool> {
    let final_status = end.status.final_status();
    let changed = change_status(connection, run, from, final_status, Some(end)).await?;
    if changed {
        events::append(connection, run.submission, final_status, &[end.status.step()]).await?;
        plan::plan(connection, run, end.status.delivery_kind()).await?;
    }
    Ok(changed)
}

/// Locks the submission and returns its state, or `None` if a newer run has taken over.
async fn lock_current(connection: &mut Connection, run: RunKey) -> StoreResult<Option<Status>> {
    Ok(match lock(connection, run.submission).await? {
        Some((status, current)) if current == run.number => Some(status),
        _ => None,
    })
}

/// Records LoopAI's execution unless one has already been recorded. Returns the recorded execution.
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

/// Changes a submission from a final state back to *pending*, with `run` as its newest run. Planned e-mails of earlier
/// runs are cancelled. The caller must hold the submission's lock and have read the state `from`.
pub(crate) async fn reopen(
    connection: &mut Connection,
    run: RunKey,
    from: Status,
    sources: Vec<Status>,
) -> StoreResult<()> {
    let changed = diesel::update(
        submissions::table
            .find(run.submission)
            .filter(submissions::status.eq(from))
            .filter(submissions::status.eq_any(sources)),
    )
    .set((
        submissions::status.eq(Status::Pending),
        submissions::run_number.eq(run.number),
        submissions::error_code.eq(None::<String>),
        submissions::error_detail.eq(None::<String>),
        submissions::finished_at.eq(None::<UtcTime>),
        submissions::stuck_since.eq(None::<UtcTime>),
        submissions::stuck_cause.eq(None::<String>),
    ))
    .execute(connection)
    .await?;
    counters::expect_one_row(changed, run.submission, from, Status::Pending)?;
    counters::count_transition(connection, run.submission, from, Status::Pending).await?;
    plan::supersede(connection, run).await?;
    events::append(connection, run.submission, Status::Pending, &[Step::Retried]).await
}

/// Changes the state by compare-and-set if the transition table allows the change. Returns whether the state has
/// changed. The caller must hold the submission's lock and have read the state `from`.
pub(crate) async fn change_status(
    connection: &mut Connection,
    run: RunKey,
    from: Status,
    to: Status,
    end: Option<&RunEnd>,
) -> StoreResult<bool> {
    let changed = diesel::update(
        submissions::table
            .find(run.submission)
            .filter(submissions::run_number.eq(run.number))
            .filter(submissions::status.eq_any(to.sources())),
    )
    .set((
        submissions::status.eq(to),
        submissions::error_code.eq(end.map(|end| end.code.as_str())),
        submissions::error_detail.eq(end.map(|end| truncated(&end.detail, MAX_ERROR_DETAIL))),
    ))
    .execute(connection)
    .await?
        == 1;
    if changed {
        counters::count_transition(connection, run.submission, from, to).await?;
    }
    if changed && to.is_final() {
        diesel::update(submissions::table.find(run.submission))
            .set(submissions::finished_at.eq(now().nullable()))
            .execute(connection)
            .await?;
        diesel::update(runs::table.find((run.submission, run.number)))
            .set(runs::finished_at.eq(now().nullable()))
            .execute(connection)
            .await?;
        slots::release(connection, run).await?;
    }
    Ok(changed)
}
