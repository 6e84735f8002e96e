//! Limits the number of submissions per e-mail address because anyone can enter a stranger's address. See
//! `docs/adr/0015-recipient-limits.md`.

use crate::db::clock::before;
use crate::db::connection::Connection;
use crate::db::email_address::EmailAddress;
use crate::db::error::StoreResult;
use crate::db::ids::Sha256;
use crate::db::pool::Store;
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
/// Number of seconds until a submission is a day old.
const SECONDS_LEFT: &str = "TIMESTAMPDIFF(SECOND, NOW(6), DATE_ADD(created_at, INTERVAL 1 DAY))";

/// Limits per recipient. `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct RecipientLimits {
    /// Maximum number of submissions that have not ended.
    #[serde(rename = "RECIPIENT_MAX_OPEN", deserialize_with = "limit")]
    pub max_open: Option<i64>,
    /// Maximum number of submissions within 24 hours, including deleted submissions.
    #[serde(rename = "RECIPIENT_MAX_PER_DAY", deserialize_with = "limit")]
    pub max_per_day: Option<i64>,
}

/// The maximum bounds how many index entries are read for each new submission.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let limit: i64 = within::<_, _, 0, 10_000>(deserializer)?;
    Ok((limit > 0).then_some(limit))
}

/// A limit that another submission would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExceededLimit {
    /// Too many submissions are open, and it is unknown when they will end.
    Open,
    PerDay {
        retry_after: Duration,
    },
}

impl RecipientLimits {
    /// Checks the limits for a new submission. This must be the first step of the transaction that inserts the
    /// submission. Until the transaction ends, other submissions for the same recipient wait, even in other processes.
    pub(crate) async fn check(
        self,
        connection: &mut Connection,
        recipient: Sha256,
    ) -> StoreResult<Option<ExceededLimit>> {
        if self == Self::default() {
            return Ok(None);
        }
        lock(connection, recipient).await?;
        self.exceeded(connection, recipient).await
    }

    async fn exceeded(
        self,
        connection: &mut Connection,
        recipient: Sha256,
    ) -> StoreResult<Option<ExceededLimit>> {
        let open = submissions::table
            .filter(submissions::recipient.eq(recipient))
            .filter(submissions::status.eq_any([Status::Pending, Status::Processing]))
            .count();
        // The index begins with the recipient and the status, so the query must list all states to use it.
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
        // The daily limit takes precedence because the error for too many open submissions only asks the sender to wait
        // for results.
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

impl Store {
    /// Returns the limit that another submission for this address would currently exceed. Does not lock the recipient,
    /// so [`Store::create_submission`] checks the limits again.
    pub async fn exceeded_recipient_limit(
        &self,
        email: &EmailAddress,
        limits: RecipientLimits,
    ) -> StoreResult<Option<ExceededLimit>> {
        if limits == RecipientLimits::default() {
            return Ok(None);
        }
        let mut connection = self.connection().await?;
        limits.exceeded(&mut connection, email.recipient()).await
    }
}

/// Locks a recipient. A new recipient has no row to lock, so all recipients share 256 lock rows.
async fn lock(connection: &mut Connection, recipient: Sha256) -> StoreResult<()> {
    let row = recipient_locks::table.find(i32::from(recipient.first_byte()));
    row.select(recipient_locks::id).for_update().first::<i32>(connection).await?;
    Ok(())
}
