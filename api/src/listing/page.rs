//! Pages of a list, by number or by cursor.

use crate::error::{ApiError, ApiResult};
use crate::extract::query::{FromParameters, Parameters};
use crate::extract::times::told;
use crate::listing::cursor;
use axum::Json;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use diagflow_store::{
    AuditEntry, Filter, Key, Listed, Place, Slice, Sort, SortBy, Store, SubmissionId, UserId,
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// Submissions of a page, unless asked otherwise.
const PER_PAGE: usize = 20;
/// Most submissions of a page.
const MOST_PER_PAGE: usize = 100;
/// Most submissions that a page by number may skip: the database reads all of them (about 10 ms).
const MOST_SKIPPED: usize = 10_000;

/// Which page.
#[derive(Debug, Clone)]
pub(crate) struct AskedPage {
    page: usize,
    per_page: usize,
    cursor: Option<String>,
    sort: Sort,
}

/// Which page, and in which order.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `AskedPage` reads")]
pub(crate) struct PageQuery {
    /// From 1. A page that would skip more than 10,000 submissions is refused: go on by cursors.
    #[param(example = 1, minimum = 1)]
    page: Option<u32>,
    /// At most 100; 20 if missing.
    #[param(example = 20, minimum = 1, maximum = 100)]
    per_page: Option<u32>,
    /// Instead of `page`: `next_cursor` or `prev_cursor` of an answer, with the same `sort`.
    cursor: Option<String>,
    /// `created_at` or `updated_at`; the newest first when it begins with `-`. `-created_at` if missing.
    #[param(example = "-created_at")]
    sort: Option<String>,
}

impl FromParameters for AskedPage {
    fn from_parameters(parameters: &mut Parameters) -> Self {
        let page = parameters.read("page", "page_invalid", |text| {
            let page = text.parse().ok().filter(|page| *page >= 1);
            page.ok_or_else(|| "Pages are counted from 1".to_owned())
        });
        let per_page = parameters.read("per_page", "per_page_invalid", |text| {
            let count = text.parse().ok().filter(|count| (1..=MOST_PER_PAGE).contains(count));
            count.ok_or_else(|| format!("A page has 1 to {MOST_PER_PAGE} submissions"))
        });
        let sort = parameters.read("sort", "sort_invalid", sort).unwrap_or_default();
        let cursor = parameters.take("cursor");
        if cursor.is_some() && page.is_some() {
            let message = "Give a page or a cursor, not both".to_owned();
            parameters.fault("cursor", "page_and_cursor", message);
        }
        Self { page: page.unwrap_or(1), per_page: per_page.unwrap_or(PER_PAGE), cursor, sort }
    }
}

fn sort(text: &str) -> Result<Sort, String> {
    let (by, descending) = text.strip_prefix('-').map_or((text, false), |by| (by, true));
    let by = match by {
        "created_at" => SortBy::Created,
        "updated_at" => SortBy::Updated,
        _ => return Err("Sort by created_at or updated_at, with - before it or not".to_owned()),
    };
    Ok(Sort { by, descending })
}

/// A page of what a filter matches; `line` is written down when it was read, and before it is shown.
///
/// # Errors
/// When the cursor is none of this sort, the page is too far from the beginning, or the database does not
/// answer.
pub(crate) async fn page(
    store: &Store,
    filter: &Filter,
    asked: &AskedPage,
    line: &AuditEntry,
) -> ApiResult<ListAnswer> {
    let (place, per_page) = place(asked)?;
    let slice = store.list(filter, asked.sort, place, per_page).await?;
    let total = store.total(filter).await?;
    store.audit(line).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer(asked, place, slice, total))))
}

/// Where the page begins, and how many submissions it has.
fn place(asked: &AskedPage) -> ApiResult<(Place, usize)> {
    let place = match &asked.cursor {
        Some(cursor) => cursor::read(cursor, asked.sort).ok_or(ApiError::InvalidCursor)?,
        None => {
            let skipped = (asked.page - 1).checked_mul(asked.per_page);
            let skipped = skipped.filter(|skipped| *skipped <= MOST_SKIPPED);
            Place::Skip(skipped.ok_or(ApiError::PageTooFar)?)
        }
    };
    Ok((place, asked.per_page))
}

/// The answer to who asks for a page of a list.
pub(crate) type ListAnswer = ([(HeaderName, &'static str); 1], Json<ListBody>);

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListBody {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The submissions.
    data: Vec<ListedBody>,
    /// Where the page is in the list.
    pagination: Pagination,
}

/// Where a page is in its list.
#[derive(Debug, Serialize, ToSchema)]
struct Pagination {
    /// From 1; not where a cursor was given.
    page: Option<usize>,
    /// Most submissions of a page.
    #[schema(example = 20)]
    per_page: usize,
    /// How many submissions the filter matches, exactly.
    #[schema(example = 123)]
    total: i64,
    /// Gives the next page; none on the last.
    next_cursor: Option<String>,
    /// Gives the page before; none on the first.
    prev_cursor: Option<String>,
}

/// A submission as a list shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedBody {
    /// Names it.
    #[schema(value_type = String, format = "uuid")]
    id: SubmissionId,
    /// The patient's address.
    #[schema(example = "ana@example.org")]
    email: String,
    /// `pending`, `processing`, `completed`, `failed`, `timed_out` or `cancelled`.
    #[schema(example = "failed")]
    status: &'static str,
    /// How many runs it has had.
    #[schema(example = 1)]
    runs: i32,
    /// Why it failed.
    #[schema(example = "loopai_unreachable")]
    error_code: Option<String>,
    /// When it was received (UTC).
    #[schema(format = "date-time")]
    created_at: String,
    /// When anything about it changed last (UTC).
    #[schema(format = "date-time")]
    updated_at: String,
    /// When it ended (UTC).
    #[schema(format = "date-time")]
    finished_at: Option<String>,
    /// The account that sent it.
    #[schema(value_type = Option<String>, format = "uuid")]
    submitted_by: Option<UserId>,
    /// When staff deleted it (UTC).
    #[schema(format = "date-time")]
    deleted_at: Option<String>,
}

impl From<Listed> for ListedBody {
    fn from(row: Listed) -> Self {
        Self {
            id: row.id,
            email: row.email.as_str().to_owned(),
            status: row.status.name(),
            runs: row.run_number,
            error_code: row.error_code,
            created_at: told(row.created_at),
            updated_at: told(row.updated_at),
            finished_at: row.finished_at.map(told),
            submitted_by: row.submitted_by,
            deleted_at: row.deleted_at.map(told),
        }
    }
}

/// The page that was asked for.
fn answer(asked: &AskedPage, place: Place, slice: Slice, total: i64) -> ListBody {
    let sort = asked.sort;
    let (is_first, is_last) = match place {
        Place::Skip(skipped) => (skipped == 0, !slice.more),
        // Whoever comes with a cursor comes from somewhere.
        Place::After(_) => (false, !slice.more),
        Place::Before(_) => (!slice.more, false),
    };
    let ends = slice.rows.first().zip(slice.rows.last());
    let next_cursor = ends.filter(|_| !is_last);
    let next_cursor = next_cursor.map(|(_, last)| cursor::after(sort, Key::of(last, sort.by)));
    let prev_cursor = ends.filter(|_| !is_first);
    let prev_cursor = prev_cursor.map(|(first, _)| cursor::before(sort, Key::of(first, sort.by)));
    ListBody {
        success: true,
        data: slice.rows.into_iter().map(ListedBody::from).collect(),
        pagination: Pagination {
            page: asked.cursor.is_none().then_some(asked.page),
            per_page: asked.per_page,
            total,
            next_cursor,
            prev_cursor,
        },
    }
}
