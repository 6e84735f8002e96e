//! Limits the submissions for one e-mail address, because anyone can enter the address of a stranger. See
//! `docs/adr/0015-recipient-limits.md`.

use crate::db::clock::before;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::Sha256;
use crate::db::schema::{recipient_locks, submissions};
use crate::settings::within;
use crate::submissions::status::Status;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Seconds until a submission is a day old.
const SECONDS_LEFT: &str = "TIMESTAMPDIFF(SECOND, NOW(6), DATE_ADD(created_at, INTERVAL 1 DAY))";

/// Limits per recipient. `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct RecipientLimits {
    /// Submissions that have not ended.
    #[serde(rename = "RECIPIENT_MAX_OPEN", deserialize_with = "limit")]
    pub max_open: Option<i64>,
    /// Submissions within any 24 hours, including deleted ones.
    #[serde(rename = "RECIPIENT_MAX_PER_DAY", deserialize_with = "limit")]
    pub max_per_day: Option<i64>,
}

/// 0 means no limit. The maximum limits the index entries that are read for each submission.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let limit: i64 = within::<_, _, 0, 10_000>(deserializer)?;
    Ok((limit > 0).then_some(limit))
}

/// A limit that another submission would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExceededLimit {
    /// It is unknown when the open submissions will end.
    Open,
    PerDay {
        /// Time until the next submission is allowed.
        retry_after: Duration,
    },
}

impl RecipientLimits {
    /// Call this first in the transaction that inserts the submission: until its end, other submissions for the same
    /// recipient wait, in all processes.
    pub(crate) async fn check(
        self,
        connection: &mut Connection,
        recipient: Sha256,
    ) -> StoreResult<Option<ExceededLimit>> {
        if self == Self::default() {
            return Ok(None);
        }
        lock(connection, recipient).await?;
        let open = submissions::table
            .filter(submissions::recipient.eq(recipient))
            .filter(submissions::status.eq_any([Status::Pending, Status::Processing]))
            .count();
        // The index begins with the recipient and the status, so all states are listed.
        let blocking = submissions::table
            .filter(submissions::recipient.eq(recipient))
            .filter(submissions::status.eq_any(Status::ALL))
            .filter(submissions::created_at.gt(before(DAY)))
            .order(submissions::created_at.desc())
            .offset(self.max_per_day.map_or(0, |max| max - 1))
            .select(sql::<BigInt>(SECONDS_LEFT));
        let (open, seconds): (Option<i64>, Option<i64>) =
            diesel::select((open.single_value(), blocking.single_value()))
                .get_result(connection)
                .await?;
        // The limit per day comes first, because the other refusal asks to wait only for the results.
        let exceeded = match (self, seconds) {
            (Self { max_per_day: Some(_), .. }, Some(seconds)) => {
                let seconds = u64::try_from(seconds).unwrap_or_default();
                Some(ExceededLimit::PerDay { retry_after: Duration::from_secs(seconds + 1) })
            }
            (Self { max_open: Some(max), .. }, _) if open.unwrap_or_default() >= max => {
                Some(ExceededLimit::Open)
            }
            _ => None,
        };
        Ok(exceeded)
    }
}

/// A new recipient has no row that could be locked. Each of these 256 rows represents a part of all recipients.
async fn lock(connection: &mut Connection, recipient: Sha256) -> StoreResult<()> {
    let row = recipient_locks::table.find(i32::from(recipient.first_byte()));
    row.select(recipient_locks::id).for_update().first::<i32>(connection).await?;
    Ok(())
}
