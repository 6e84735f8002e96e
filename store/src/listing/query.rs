//! A filter, a sort and a place as SQL.

use super::filter::{Deleted, EmailFilter, Filter, Place, Sort, SortBy};
use crate::schema::submissions::{self, BoxedQuery};
use crate::status::Status;
use diesel::dsl::sql;
use diesel::mysql::Mysql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

/// What a filter matches; of its states only `status`, where that is given.
pub(super) fn matching(filter: &Filter, status: Option<Status>) -> BoxedQuery<'_, Mysql> {
    match status {
        Some(status) => otherwise_matching(filter).filter(submissions::status.eq(status)),
        None => counted(filter),
    }
}

/// All that a filter matches.
pub(super) fn counted(filter: &Filter) -> BoxedQuery<'_, Mysql> {
    let query = otherwise_matching(filter);
    match filter.statuses.as_slice() {
        [] => query,
        statuses => query.filter(submissions::status.eq_any(statuses)),
    }
}

/// All but the states.
pub(crate) fn otherwise_matching(filter: &Filter) -> BoxedQuery<'_, Mysql> {
    let mut query = submissions::table.into_boxed();
    query = match filter.deleted {
        Deleted::Without => query.filter(submissions::deleted_at.is_null()),
        Deleted::With => query,
        Deleted::Only => query.filter(submissions::deleted_at.is_not_null()),
    };
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
            query.filter(submissions::email.like(beginning_with(prefix)))
        }
    };
    if let Some(words) = &filter.words {
        let found = sql::<Bool>("MATCH (comments) AGAINST (")
            .bind::<Text, _>(words.in_boolean_mode())
            .sql(" IN BOOLEAN MODE)");
        query = query.filter(found);
    }
    if let Some(code) = &filter.error_code {
        query = query.filter(submissions::error_code.eq(code));
    }
    if let Some(sender) = filter.submitted_by {
        query = query.filter(submissions::submitted_by.eq(sender));
    }
    query
}

/// A pattern of `LIKE` for texts that begin with `prefix`, whatever that holds.
fn beginning_with(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for character in prefix.chars() {
        if matches!(character, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// In order, from a place on.
pub(super) fn placed(
    query: BoxedQuery<'_, Mysql>,
    sort: Sort,
    place: Place,
) -> BoxedQuery<'_, Mysql> {
    macro_rules! by {
        ($column:expr) => {{
            let query = match place {
                Place::Skip(_) => query,
                Place::After(key) | Place::Before(key) if sort.descending => query
                    .filter($column.le(key.at))
                    .filter($column.lt(key.at).or(submissions::id.lt(key.id))),
                Place::After(key) | Place::Before(key) => query
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_by_the_letter() {
        assert_eq!(beginning_with("ana"), "ana%");
        assert_eq!(beginning_with(r"a%b_c\"), r"a\%b\_c\\%");
    }
}
