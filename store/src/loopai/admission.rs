//! Leave to ask LoopAI: whoever wants to ask takes a place, and passes the gate, in one transaction under the
//! lock of the gate's row. So places are given out one by one, over all workers, and all of them hear at once
//! how LoopAI is. `docs/adr/0012-loopai-limits-and-circuit-breaker.md` tells why it is done so.

use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{RunKey, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::loopai_gate;
use crate::loopai::breaker::{Gate, GateState};
use crate::loopai::slots::{self, Budget, LONGEST, Standing, Wait};
use crate::submissions::events;
use crate::submissions::row::lock;
use chrono::NaiveDateTime;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Datetime;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// The one row of `loopai_gate`.
const GATE: i32 = 1;
/// The shortest that anybody is told to wait. Temporal takes next to nothing for no wish at all, and begins its
/// own pause, of up to a minute.
const SHORTEST: Duration = Duration::from_millis(100);
/// How much later than it was told a run may come before it has lost its turn.
const GRACE: Duration = Duration::from_secs(30);

/// Whether a run may ask LoopAI now.
#[derive(Debug)]
pub enum Entry {
    /// It may. What came of it must be told ([`Store::loopai_heard`]), or that nothing did
    /// ([`Store::loopai_not_asked`]).
    Admitted(Pass),
    /// Not now.
    TurnedAway {
        /// Why.
        why: Wait,
        /// When it shall come again.
        after: Duration,
    },
    /// The submission has ended.
    Ended,
    /// A newer run took over.
    Superseded,
}

/// Leave to ask LoopAI once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    run: RunKey,
    epoch: i64,
    /// Nothing was wrong when it was given, so a request that goes well is no news.
    is_untroubled: bool,
    /// The run had been told to come again: if it must do so once more, that is a wait.
    has_waited: bool,
}

/// How a request to LoopAI went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// LoopAI is there, whatever it answered.
    Well,
    /// LoopAI is in trouble.
    Away,
}

/// How much LoopAI has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopAiUse {
    /// Runs that have a place.
    pub under_way: i64,
    /// Of all runs, those for which it was asked within the last hour.
    pub within_the_hour: i64,
    /// Runs that were told to come again.
    pub waiting: i64,
    /// How the gate stands.
    pub gate: GateState,
}

impl Store {
    /// Takes a place at LoopAI for a run, or tells why there is none and when to come again; then the
    /// submission's story tells that it waits. A run that has a place keeps it, and may still be told to wait,
    /// while LoopAI is away.
    ///
    /// # Errors
    /// When the database does not take it; nothing is changed then.
    pub async fn enter_loopai(&self, run: RunKey, budget: Budget) -> StoreResult<Entry> {
        transaction!(self, connection => {
            let status = match lock(connection, run.submission).await? {
                Some((status, current)) if current == run.number => status,
                _ => return Ok(Entry::Superseded),
            };
            if status.is_final() {
                return Ok(Entry::Ended);
            }
            let (mut gate, now) = lock_gate(connection).await?;
            let standing = Standing::find(connection, run).await?;
            let standing = standing.unwrap_or_else(|| Standing::new(now));
            let ahead = standing.ahead(connection, now).await?;
            let away = |rest| (Wait::LoopAi, rest);
            let mut refusal = gate.shut_for(now).map(away);
            if refusal.is_none() {
                refusal = slots::refusal(connection, run, standing, &ahead, budget, now).await?;
            }
            let Some((why, after)) = refusal.or_else(|| gate.pass(now).err().map(away)) else {
                let taken = Standing { taken_at: Some(now), waits_until: None, ..standing };
                taken.write(connection, run).await?;
                let is_untroubled = gate.is_untroubled();
                if !is_untroubled {
                    save_gate(connection, &gate).await?;
                }
                let (epoch, has_waited) = (gate.epoch(), standing.waits_until.is_some());
                return Ok(Entry::Admitted(Pass { run, epoch, is_untroubled, has_waited }));
            };
            let later = match why {
                Wait::Place => Duration::ZERO,
                Wait::Hour | Wait::LoopAi => gate.turn_after(ahead.all),
            };
            let after = bounded(after + later, run.submission);
            let told = Standing { waits_until: Some(now + after + GRACE), ..standing };
            told.write(connection, run).await?;
            events::append_waiting(connection, run.submission, status).await?;
            Ok(Entry::TurnedAway { why, after })
        })
    }

    /// Notes how a request went that was let through. Where LoopAI is taken for away now, tells when to come
    /// again. The submission's story tells that it waits, if it comes again by that, or not for the first time. A
    /// run whose request failed goes to the end of the queue: were it to blame itself, the others would have to
    /// wait for it.
    ///
    /// # Errors
    /// When the database does not take it; nothing is changed then.
    pub async fn loopai_heard(&self, pass: Pass, heard: Heard) -> StoreResult<Option<Duration>> {
        let (run, is_well) = (pass.run, heard == Heard::Well);
        if is_well && pass.is_untroubled && self.is_untroubled().await? {
            // No news, and not worth the lock.
            return Ok(None);
        }
        transaction!(self, connection => {
            let standing = lock(connection, run.submission).await?;
            let (mut gate, now) = lock_gate(connection).await?;
            let others_wait = slots::waiting(connection, Some(run.submission), now).await? > 0;
            gate.heard(now, pass.epoch, is_well, others_wait);
            save_gate(connection, &gate).await?;
            let going = standing.filter(|(status, number)| {
                !is_well && *number == run.number && !status.is_final()
            });
            let Some((status, _)) = going else { return Ok(None) };
            let last = Standing { taken_at: Some(now), ..Standing::new(now) };
            let mut after = None;
            if let Some(rest) = gate.shut_for(now) {
                let ahead = last.ahead(connection, now).await?;
                after = Some(bounded(rest + gate.turn_after(ahead.all), run.submission));
            }
            // Without a wish it comes again by the retry policy.
            let waits_until = Some(now + after.unwrap_or(LONGEST) + GRACE);
            Standing { waits_until, ..last }.write(connection, run).await?;
            if after.is_some() || pass.has_waited {
                events::append_waiting(connection, run.submission, status).await?;
            }
            Ok(after)
        })
    }

    /// Gives a pass back with which LoopAI was not asked: had it been the one to try, another may at once.
    ///
    /// # Errors
    /// When the database does not take it; nothing is changed then.
    pub async fn loopai_not_asked(&self, pass: Pass) -> StoreResult<()> {
        if pass.is_untroubled {
            return Ok(());
        }
        transaction!(self, connection => {
            let (mut gate, _) = lock_gate(connection).await?;
            gate.not_asked(pass.epoch);
            save_gate(connection, &gate).await
        })
    }

    /// How long looks at a submission's execution had better wait, since LoopAI is away; none while it is not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn loopai_away(&self, submission: SubmissionId) -> StoreResult<Option<Duration>> {
        let (gate, now) = gate_now(&mut *self.connection().await?).await?;
        let rest = gate.shut_for(now);
        Ok(rest.map(|rest| bounded(rest + rest * spread(submission) / 100, submission)))
    }

    async fn is_untroubled(&self) -> StoreResult<bool> {
        Ok(gate_now(&mut *self.connection().await?).await?.0.is_untroubled())
    }

    /// How much LoopAI has to do now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn loopai_use(&self) -> StoreResult<LoopAiUse> {
        let mut connection = self.connection().await?;
        let (gate, now) = gate_now(&mut connection).await?;
        Ok(LoopAiUse {
            under_way: slots::held(&mut connection).await?,
            within_the_hour: slots::within_the_hour(&mut connection, now).await?,
            waiting: slots::waiting(&mut connection, None, now).await?,
            gate: gate.state(),
        })
    }
}

/// The gate as it stands, and the time.
async fn gate_now(connection: &mut Connection) -> StoreResult<(Gate, NaiveDateTime)> {
    let found = loopai_gate::table
        .find(GATE)
        .select((Gate::as_select(), sql::<Datetime>("NOW(6)")))
        .first(connection)
        .await?;
    Ok(found)
}

/// Locks the gate; tells the time after the wait for it.
async fn lock_gate(connection: &mut Connection) -> StoreResult<(Gate, NaiveDateTime)> {
    let found = loopai_gate::table
        .find(GATE)
        // `NOW` would be the time before the wait.
        .select((Gate::as_select(), sql::<Datetime>("SYSDATE(6)")))
        .for_update()
        .first(connection)
        .await?;
    Ok(found)
}

async fn save_gate(connection: &mut Connection, gate: &Gate) -> StoreResult<()> {
    diesel::update(loopai_gate::table.find(GATE)).set(gate).execute(connection).await?;
    Ok(())
}

/// No longer and no shorter than anybody is to wait. Those who would wait longer come at different times all the
/// same.
fn bounded(after: Duration, submission: SubmissionId) -> Duration {
    if after <= LONGEST {
        return after.max(SHORTEST);
    }
    LONGEST - LONGEST / 2 * spread(submission) / 100
}

/// A number from 0 to 99 that differs from submission to submission.
fn spread(submission: SubmissionId) -> u32 {
    let digits = submission.to_string();
    u32::from_str_radix(&digits[..4], 16).unwrap_or_default() % 100
}
