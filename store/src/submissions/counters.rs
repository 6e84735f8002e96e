//! The exact number of submissions in each state. Every transition updates these counts in its transaction because
//! counting a million index entries would take too long for a list. See `docs/adr/0008-listing.md`.

use crate::db::connection::Connection;
use crate::db::error::{StoreError, StoreResult};
use crate::db::ids::SubmissionId;
use crate::db::pool::{Store, transaction};
use crate::db::schema::submission_counts as counts;
use crate::submissions::status::Status;
use diesel::dsl::{case_when, sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::RunQueryDsl;

const RECOUNT: &str = "UPDATE submission_counts SET amount = COALESCE((\
    SELECT counted.amount FROM (\
        SELECT CONV(LEFT(id, 1), 16, 10) AS shard, deleted_at IS NOT NULL AS deleted, status, \
            COUNT(*) AS amount FROM submissions GROUP BY 1, 2, 3) AS counted \
    WHERE counted.shard = submission_counts.shard AND counted.deleted = submission_counts.deleted \
        AND counted.status = submission_counts.status), 0)";

/// Returns the numeric value of the id's first hexadecimal digit. `RECOUNT` computes the same value in SQL.
fn shard(submission: SubmissionId) -> i32 {
    let digit = submission.to_string().chars().next().and_then(|first| first.to_digit(16));
    digit.and_then(|digit| i32::try_from(digit).ok()).unwrap_or_default()
}

pub(crate) async fn count_created(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<()> {
    diesel::update(counts::table.find((shard(submission), 0, Status::Pending)))
        .set(counts::amount.eq(counts::amount + 1))
        .execute(connection)
        .await?;
    Ok(())
}

/// Fails unless exactly one row has changed: the locked row, whose state was read as `from`. A transition that fails
/// this check must not be counted or committed.
pub(crate) fn expect_one_row(
    changed: usize,
    submission: SubmissionId,
    from: Status,
    to: Status,
) -> StoreResult<()> {
    match changed {
        1 => Ok(()),
        other => Err(StoreError::Corrupt(format!(
            "the transition of {submission} from {from} to {to} changed {other} rows"
        ))),
    }
}

/// Counts a transition of a submission that has not been deleted.
///
/// A single statement updates both rows and locks them in key order so two opposite transitions cannot deadlock.
pub(crate) async fn count_transition(
    connection: &mut Connection,
    submission: SubmissionId,
    from: Status,
    to: Status,
) -> StoreResult<()> {
    let rows = counts::table
        .filter(counts::shard.eq(shard(submission)))
        .filter(counts::deleted.eq(0))
        .filter(counts::status.eq_any([from, to]));
    let change = case_when(counts::status.eq(to), 1i64.into_sql::<BigInt>())
        .otherwise((-1i64).into_sql::<BigInt>());
    diesel::update(rows)
        .set(counts::amount.eq(counts::amount + change))
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn count_deleted(
    connection: &mut Connection,
    submission: SubmissionId,
    status: Status,
    deleted: bool,
) -> StoreResult<()> {
    let rows = counts::table
        .filter(counts::shard.eq(shard(submission)))
        .filter(counts::deleted.eq_any([0, 1]))
        .filter(counts::status.eq(status));
    let change = case_when(counts::deleted.eq(i32::from(deleted)), 1i64.into_sql::<BigInt>())
        .otherwise((-1i64).into_sql::<BigInt>());
    diesel::update(rows)
        .set(counts::amount.eq(counts::amount + change))
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn total(
    connection: &mut Connection,
    statuses: &[Status],
    deleted: &[i32],
) -> StoreResult<i64> {
    let total: Option<i64> = counts::table
        .filter(counts::shard.between(0, 15))
        .filter(counts::deleted.eq_any(deleted))
        .filter(counts::status.eq_any(statuses))
        .select(sql::<Nullable<BigInt>>("CAST(SUM(amount) AS SIGNED)"))
        .first(connection)
        .await?;
    Ok(total.unwrap_or_default())
}

impl Store {
    /// Recounts all submissions. This is needed after an older version that does not maintain the counts has run
    /// alongside this version. Transitions wait for the recount, which takes about 0.3 s for a million submissions.
    pub async fn recount_submissions(&self) -> StoreResult<()> {
        transaction!(self, connection => {
            // Transitions in progress wait for these locks and update the counts after the recount.
            let _locked: Vec<i64> =
                counts::table.select(counts::amount).for_update().load(connection).await?;
            diesel::sql_query(RECOUNT).execute(connection).await?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_that_changes_no_row_is_an_error() {
        let check =
            |changed| expect_one_row(changed, SubmissionId::new(), Status::Failed, Status::Pending);
        assert!(check(1).is_ok());
        let message = check(0).expect_err("an error").to_string();
        assert!(message.ends_with("from failed to pending changed 0 rows"), "{message}");
    }
}
