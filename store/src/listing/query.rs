//! Reads and counts submissions, converting the filter, the sort order and the position to SQL.

use crate::db::error::StoreResult;
use crate::db::pool::Store;
use crate::db::schema::submissions::{self, BoxedQuery};
use crate::db::sql_text::prefix_pattern;
use crate::deliveries::email_state::latest_email_is;
use crate::listing::filter::{DeletedFilter, EmailFilter, SubmissionFilter};
use crate::listing::page::{Page, PagePosition, Sort, SortBy, SortKey, SubmissionSummary};
use crate::submissions::counters;
use crate::submissions::status::Status;
use diesel::dsl::sql;
use diesel::mysql::Mysql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::RunQueryDsl;

impl Store {
    /// Returns a page of matching submissions in `sort` order, even when paging backwards.
    pub async fn list_submissions(
        &self,
        filter: &SubmissionFilter,
        sort: Sort,
        position: PagePosition,
        limit: usize,
    ) -> StoreResult<Page> {
        let backwards = matches!(position, PagePosition::Before(_));
        let read_as = if backwards { sort.reversed() } else { sort };
        let skipped = position.offset();
        // Reads one more row than requested to find out whether there are further rows.
        let needed = i64::try_from(skipped + limit + 1).unwrap_or(i64::MAX);
        let mut connection = self.connection().await?;
        let branches = filter.branches();
        let merged = branches.len() > 1;
        let mut rows: Vec<SubmissionSummary> = Vec::new();
        for status in branches {
            let query = matching(filter, status);
            let query = at_position(query, read_as, position);
            // The database can skip rows only if the list is not merged.
            let (offset, most) = if merged { (0, needed) } else { (skipped, limit as i64 + 1) };
            let found = query
                .limit(most)
                .offset(offset as i64)
                .select(SubmissionSummary::as_select())
                .load::<SubmissionSummary>(&mut connection)
                .await?;
            rows.extend(found);
        }
        if merged {
            rows.sort_by(|a, b| {
                read_as.compare(&SortKey::of(a, sort.by), &SortKey::of(b, sort.by))
            });
            rows.drain(..skipped.min(rows.len()));
        }
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        if backwards {
            rows.reverse();
        }
        Ok(Page { rows, has_more })
    }

    /// Returns the exact number of matching submissions. If the filter contains only states, the number comes from the
    /// counters; otherwise, it comes from an index.
    pub async fn count_submissions(&self, filter: &SubmissionFilter) -> StoreResult<i64> {
        let mut connection = self.connection().await?;
        if filter.is_status_only() {
            let statuses: &[Status] =
                if filter.statuses.is_empty() { Status::ALL } else { &filter.statuses };
            return counters::total(&mut connection, statuses, filter.deleted.flags()).await;
        }
        let total = matching_all(filter).count().get_result(&mut connection).await?;
        Ok(total)
    }
}

/// Applies all of the filter's conditions. If `status` is given, it replaces the filter's states.
fn matching(filter: &SubmissionFilter, status: Option<Status>) -> BoxedQuery<'_, Mysql> {
    match status {
        Some(status) => matching_any_status(filter).filter(submissions::status.eq(status)),
        None => matching_all(filter),
    }
}

fn matching_all(filter: &SubmissionFilter) -> BoxedQuery<'_, Mysql> {
    let query = matching_any_status(filter);
    match filter.statuses.as_slice() {
        [] => query,
        statuses => query.filter(submissions::status.eq_any(statuses)),
    }
}

pub(crate) fn matching_any_status(filter: &SubmissionFilter) -> BoxedQuery<'_, Mysql> {
    let mut query = submissions::table.into_boxed();
    query = match filter.deleted {
        DeletedFilter::Exclude => query.filter(submissions::deleted_at.is_null()),
        DeletedFilter::Include => query,
        DeletedFilter::Only => query.filter(submissions::deleted_at.is_not_null()),
    };
    if !filter.ids.is_empty() {
        query = query.filter(submissions::id.eq_any(&filter.ids));
    }
    if let Some(from) = filter.created_from {
        query = query.filter(submissions::created_at.ge(from));
    }
    if let Some(to) = filter.created_to {
        query = query.filter(submissions::created_at.lt(to));
    }
    query = match &filter.email {
        None => query,
        Some(EmailFilter::Exact(email)) => query.filter(submissions::email.eq(email)),
        Some(EmailFilter::Prefix(prefix)) => {
            query.filter(submissions::email.like(prefix_pattern(prefix)).escape('!'))
        }
    };
    if let Some(terms) = &filter.full_text {
        let found = sql::<Bool>("MATCH (comments) AGAINST (")
            .bind::<Text, _>(terms.boolean_expression())
            .sql(" IN BOOLEAN MODE)");
        query = query.filter(found);
    }
    if let Some(code) = &filter.error_code {
        query = query.filter(submissions::error_code.eq(code));
    }
    if !filter.email_states.is_empty() {
        query = query.filter(latest_email_is(&filter.email_states));
    }
    if let Some(sender) = filter.submitted_by {
        query = query.filter(submissions::submitted_by.eq(sender));
    }
    if let Some(assignee) = filter.assignee {
        query = query.filter(submissions::assignee.eq(assignee));
    }
    if filter.stuck {
        query = query.filter(submissions::stuck_since.is_not_null());
    }
    query
}

fn at_position(
    query: BoxedQuery<'_, Mysql>,
    sort: Sort,
    position: PagePosition,
) -> BoxedQuery<'_, Mysql> {
    macro_rules! by {
        ($column:expr) => {{
            let query = match position {
                PagePosition::Skip(_) => query,
                PagePosition::After(key) | PagePosition::Before(key) if sort.descending => query
                    .filter($column.le(key.at))
                    .filter($column.lt(key.at).or(submissions::id.lt(key.id))),
                PagePosition::After(key) | PagePosition::Before(key) => query
                    .filter($column.ge(key.at))
                    .filter($column.gt(key.at).or(submissions::id.gt(key.id))),
            };
            if sort.descending {
                query.order(($column.desc(), submissions::id.desc()))
            } else {
                query.order(($column.asc(), submissions::id.asc()))
            }
        }};
    }
    match sort.by {
        SortBy::Created => by!(submissions::created_at),
        SortBy::Updated => by!(submissions::updated_at),
    }
}
