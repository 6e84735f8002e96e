//! Pages of a list, by number or by cursor.

use crate::error::{ApiError, ApiResult};
use crate::extract::query::{FromParameters, Parameters};
use crate::extract::time_format::rfc3339;
use crate::listing::cursor;
use axum::Json;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use diagflow_store::{
    NewAuditEntry, Page, PagePosition, Sort, SortBy, SortKey, Store, SubmissionFilter,
    SubmissionId, SubmissionSummary, UserId,
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// Submissions of a page, unless request otherwise.
const DEFAULT_PER_PAGE: usize = 20;
/// Most submissions of a page.
const MAX_PER_PAGE: usize = 100;
/// Most submissions that a page by number may skip: the database reads all of them (about 10 ms).
const MAX_SKIPPED: usize = 10_000;

/// Which page.
#[derive(Debug, Clone)]
pub(crate) struct PageRequest {
    page: usize,
    per_page: usize,
    cursor: Option<String>,
    sort: Sort,
}

/// Which page, and in which order.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `PageRequest` reads")]
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

impl FromParameters for PageRequest {
    fn from_parameters(parameters: &mut Parameters) -> Self {
        let page = parameters.read("page", "page_invalid", |text| {
            let page = text.parse().ok().filter(|page| *page >= 1);
            page.ok_or_else(|| "Pages are counted from 1".to_owned())
        });
        let per_page = parameters.read("per_page", "per_page_invalid", |text| {
            let count = text.parse().ok().filter(|count| (1..=MAX_PER_PAGE).contains(count));
            count.ok_or_else(|| format!("A page has 1 to {MAX_PER_PAGE} submissions"))
        });
        let sort = parameters.read("sort", "sort_invalid", parse_sort).unwrap_or_default();
        let cursor = parameters.take("cursor");
        if cursor.is_some() && page.is_some() {
            let message = "Give a page or a cursor, not both".to_owned();
            parameters.add_error("cursor", "page_and_cursor", message);
        }
        Self {
            page: page.unwrap_or(1),
            per_page: per_page.unwrap_or(DEFAULT_PER_PAGE),
            cursor,
            sort,
        }
    }
}

fn parse_sort(text: &str) -> Result<Sort, String> {
    let (by, descending) = text.strip_prefix('-').map_or((text, false), |by| (by, true));
    let by = match by {
        "created_at" => SortBy::Created,
        "updated_at" => SortBy::Updated,
        _ => return Err("Sort by created_at or updated_at, with - before it or not".to_owned()),
    };
    Ok(Sort { by, descending })
}

/// A page of what a filter matches; `entry` is written down when it was read, and before it is shown.
///
/// # Errors
/// When the cursor is none of this sort, the page is too far from the beginning, or the database does not
/// answer.
pub(crate) async fn list_page(
    store: &Store,
    filter: &SubmissionFilter,
    request: &PageRequest,
    entry: &NewAuditEntry,
) -> ApiResult<ListResponse> {
    let (position, per_page) = position(request)?;
    let page = store.list_submissions(filter, request.sort, position, per_page).await?;
    let total = store.count_submissions(filter).await?;
    store.append_audit_entry(entry).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(response_body(request, position, page, total))))
}

/// Where the page begins, and how many submissions it has.
fn position(request: &PageRequest) -> ApiResult<(PagePosition, usize)> {
    let position = match &request.cursor {
        Some(cursor) => cursor::decode(cursor, request.sort).ok_or(ApiError::InvalidCursor)?,
        None => {
            let skipped = (request.page - 1).checked_mul(request.per_page);
            let skipped = skipped.filter(|skipped| *skipped <= MAX_SKIPPED);
            PagePosition::Skip(skipped.ok_or(ApiError::PageTooFar)?)
        }
    };
    Ok((position, request.per_page))
}

/// The answer to who asks for a page of a list.
pub(crate) type ListResponse = ([(HeaderName, &'static str); 1], Json<ListBody>);

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListBody {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The submissions.
    data: Vec<SubmissionSummaryBody>,
    /// Where the page is in the list.
    pagination: SubmissionPagination,
}

/// Where a page is in its list.
#[derive(Debug, Serialize, ToSchema)]
struct SubmissionPagination {
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
pub(crate) struct SubmissionSummaryBody {
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

impl From<SubmissionSummary> for SubmissionSummaryBody {
    fn from(row: SubmissionSummary) -> Self {
        Self {
            id: row.id,
            email: row.email.as_str().to_owned(),
            status: row.status.name(),
            runs: row.run_number,
            error_code: row.error_code,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            finished_at: row.finished_at.map(rfc3339),
            submitted_by: row.submitted_by,
            deleted_at: row.deleted_at.map(rfc3339),
        }
    }
}

/// The page that was request for.
fn response_body(
    request: &PageRequest,
    position: PagePosition,
    page: Page,
    total: i64,
) -> ListBody {
    let sort = request.sort;
    let (is_first, is_last) = match position {
        PagePosition::Skip(skipped) => (skipped == 0, !page.has_more),
        // Whoever comes with a cursor comes from somewhere.
        PagePosition::After(_) => (false, !page.has_more),
        PagePosition::Before(_) => (!page.has_more, false),
    };
    let ends = page.rows.first().zip(page.rows.last());
    let next_cursor = ends.filter(|_| !is_last);
    let next_cursor = next_cursor.map(|(_, last)| cursor::after(sort, SortKey::of(last, sort.by)));
    let prev_cursor = ends.filter(|_| !is_first);
    let prev_cursor =
        prev_cursor.map(|(first, _)| cursor::before(sort, SortKey::of(first, sort.by)));
    ListBody {
        success: true,
        data: page.rows.into_iter().map(SubmissionSummaryBody::from).collect(),
        pagination: SubmissionPagination {
            page: request.cursor.is_none().then_some(request.page),
            per_page: request.per_page,
            total,
            next_cursor,
            prev_cursor,
        },
    }
}
