//! Lists of submissions: filtered, sorted, a page at a time, with their exact number.
//!
//! Every list is read by an index, whatever is asked for. Where several states are asked for, each is read
//! by itself and the lists are merged: one index cannot give them in one order.

mod clinical;
mod filter;
mod query;
mod words;

pub use clinical::Clinical;
pub use filter::{Deleted, EmailFilter, Filter, Key, Place, Slice, Sort, SortBy};
pub(crate) use query::otherwise_matching;
pub use words::{InvalidWords, Words};

use crate::counts;
use crate::error::StoreResult;
use crate::ids::{SubmissionId, UserId};
use crate::pool::Store;
use crate::schema::submissions;
use crate::status::Status;
use crate::submissions::EmailAddress;
use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// A submission as a list shows it: nothing medical.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = submissions)]
pub struct Listed {
    /// Its name.
    pub id: SubmissionId,
    /// Where the result goes.
    pub email: EmailAddress,
    /// Where it stands.
    pub status: Status,
    /// Its newest run.
    pub run_number: i32,
    /// Why it failed, as a stable code.
    pub error_code: Option<String>,
    /// When it was received (UTC).
    pub created_at: NaiveDateTime,
    /// When anything about it changed last (UTC).
    pub updated_at: NaiveDateTime,
    /// When it reached its present final state (UTC).
    pub finished_at: Option<NaiveDateTime>,
    /// The account that sent it, where there is one.
    pub submitted_by: Option<UserId>,
    /// When staff deleted it (UTC).
    pub deleted_at: Option<NaiveDateTime>,
}

impl Store {
    /// The submissions that a filter matches, at most `limit` of them from `place` on, in the order of
    /// `sort`, wherever the place is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(
        &self,
        filter: &Filter,
        sort: Sort,
        place: Place,
        limit: usize,
    ) -> StoreResult<Slice> {
        let backwards = matches!(place, Place::Before(_));
        let read_as = if backwards { sort.reversed() } else { sort };
        let skipped = place.skipped();
        // One more than asked for tells whether there are more.
        let wanted = i64::try_from(skipped + limit + 1).unwrap_or(i64::MAX);
        let mut connection = self.connection().await?;
        let branches = filter.branches();
        let merged = branches.len() > 1;
        let mut rows: Vec<Listed> = Vec::new();
        for status in branches {
            let query = query::matching(filter, status);
            let query = query::placed(query, read_as, place);
            // A list that is not merged is skipped through by the database.
            let (offset, most) = if merged { (0, wanted) } else { (skipped, limit as i64 + 1) };
            let found = query
                .limit(most)
                .offset(offset as i64)
                .select(Listed::as_select())
                .load::<Listed>(&mut connection)
                .await?;
            rows.extend(found);
        }
        if merged {
            rows.sort_by(|a, b| read_as.order(&Key::of(a, sort.by), &Key::of(b, sort.by)));
            rows.drain(..skipped.min(rows.len()));
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        if backwards {
            rows.reverse();
        }
        Ok(Slice { rows, more })
    }

    /// How many submissions a filter matches, exactly. By states alone it comes from the counters, by
    /// anything else from an index.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn total(&self, filter: &Filter) -> StoreResult<i64> {
        let mut connection = self.connection().await?;
        if filter.is_by_state_alone() {
            let statuses: &[Status] =
                if filter.statuses.is_empty() { &Status::ALL } else { &filter.statuses };
            return counts::read(&mut connection, statuses, filter.deleted.flags()).await;
        }
        let total = query::counted(filter).count().get_result(&mut connection).await?;
        Ok(total)
    }
}
