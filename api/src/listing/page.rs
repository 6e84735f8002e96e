use crate::error::field_errors::FieldErrorCode;
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::query::{FromParameters, Parameters};
use crate::listing::cursor;
use crate::openapi::names::{SubmissionEmailState, SubmissionErrorCode, SubmissionStatus};
use axum::Json;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use diagflow_store::{
    NewAuditEntry, Page, PagePosition, RunKey, Sort, SortBy, SortKey, Store, SubmissionFilter,
    SubmissionId, SubmissionSummary, UserId, UtcTime,
};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use utoipa::openapi::path::Parameter;
use utoipa::{IntoParams, ToSchema};

const DEFAULT_PER_PAGE: usize = 20;
const MAX_PER_PAGE: usize = 100;
/// Maximum number of submissions that precede the requested page. The database has to read all of them, which takes
/// about 10 ms at this limit.
pub(crate) const MAX_SKIPPED: usize = 10_000;

#[derive(Debug, Clone)]
pub(crate) struct PageRequest {
    pub(crate) page: usize,
    per_page: usize,
    cursor: Option<String>,
    pub(crate) sort: Sort,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the parameters of `PageRequest`")]
pub(crate) struct PageQuery {
    /// Page number, starting at 1. Pages beyond the first 10,000 submissions require a cursor.
    #[param(example = 1, minimum = 1)]
    page: Option<u32>,
    /// Number of submissions per page, 1 to 100. Default: 20.
    #[param(example = 20, minimum = 1, maximum = 100)]
    per_page: Option<u32>,
    /// Value of `next_cursor` or `prev_cursor` from another page with the same `sort`. Cannot be combined with `page`.
    cursor: Option<String>,
    /// Sort order: `created_at` or `updated_at`, with a leading `-` for newest first. Default: `-created_at`.
    #[param(example = "-created_at")]
    sort: Option<String>,
}

impl FromParameters for PageRequest {
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::InvalidCursor, ErrorCode::PageTooFar];

    fn parameters() -> Vec<Parameter> {
        PageQuery::into_params(|| None)
    }

    fn from_parameters(parameters: &mut Parameters) -> Self {
        let page = parameters.read("page", FieldErrorCode::PageInvalid, |text| {
            let page = text.parse().ok().filter(|page| *page >= 1);
            page.ok_or_else(|| "page must be 1 or more".to_owned())
        });
        let per_page = parameters.read("per_page", FieldErrorCode::PerPageInvalid, |text| {
            let count = text.parse().ok().filter(|count| (1..=MAX_PER_PAGE).contains(count));
            count.ok_or_else(|| format!("per_page must be a number from 1 to {MAX_PER_PAGE}"))
        });
        let sort =
            parameters.read("sort", FieldErrorCode::SortInvalid, parse_sort).unwrap_or_default();
        let cursor = parameters.take("cursor");
        if cursor.is_some() && page.is_some() {
            let message = "Use either page or cursor, but not both".to_owned();
            parameters.add_error("cursor", FieldErrorCode::PageAndCursor, message);
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
        _ => {
            return Err(
                "sort must be created_at, -created_at, updated_at or -updated_at".to_owned()
            );
        }
    };
    Ok(Sort { by, descending })
}

/// Who is reading a list, which determines the fields of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListReader {
    /// The account that sent the submissions.
    Sender,
    Staff {
        /// Whether the reader may read comments.
        clinical: bool,
    },
}

/// Reads a page of submissions that match the filter, and appends `entry` to the audit log before returning the page.
pub(crate) async fn list_page(
    store: &Store,
    filter: &SubmissionFilter,
    request: &PageRequest,
    reader: ListReader,
    entry: &NewAuditEntry,
) -> ApiResult<ListResponse> {
    let position = position(request)?;
    let page = store.list_submissions(filter, request.sort, position, request.per_page).await?;
    let comments = match reader {
        ListReader::Staff { clinical: true } => {
            let ids: Vec<_> = page.rows.iter().map(|row| row.id).collect();
            store.comments(&ids).await?
        }
        _ => HashMap::new(),
    };
    let email_states = match reader {
        ListReader::Staff { .. } => store.email_states(&runs(&page.rows)).await?,
        ListReader::Sender => HashMap::new(),
    };
    let names = match reader {
        ListReader::Staff { .. } => store.user_names(&assignees(&page.rows)).await?,
        ListReader::Sender => HashMap::new(),
    };
    let total = store.count_submissions(filter).await?;
    store.append_audit_entry(entry).await?;
    let mut body = response_body(request, position, page, total);
    for item in &mut body.data {
        item.comments = comments.get(&item.id).cloned();
        if reader == ListReader::Sender {
            (item.note, item.assignee, item.stuck) = (None, None, None);
        } else {
            item.email_state = Some(email_states.get(&item.id).copied().map(Into::into));
            let assignee = item.assignee.flatten();
            item.assignee_name = Some(assignee.and_then(|id| names.get(&id).cloned()));
        }
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
}

fn assignees(rows: &[SubmissionSummary]) -> Vec<UserId> {
    let ids: HashSet<_> = rows.iter().filter_map(|row| row.assignee).collect();
    ids.into_iter().collect()
}

/// Returns the newest run of each submission.
pub(crate) fn runs<'a>(rows: impl IntoIterator<Item = &'a SubmissionSummary>) -> Vec<RunKey> {
    let run = |row: &SubmissionSummary| RunKey { submission: row.id, number: row.run_number };
    rows.into_iter().map(run).collect()
}

fn position(request: &PageRequest) -> ApiResult<PagePosition> {
    match &request.cursor {
        Some(cursor) => cursor::decode(cursor, request.sort).ok_or(ApiError::InvalidCursor),
        None => {
            let skipped = (request.page - 1).checked_mul(request.per_page);
            let skipped = skipped.filter(|skipped| *skipped <= MAX_SKIPPED);
            Ok(PagePosition::Skip(skipped.ok_or(ApiError::PageTooFar)?))
        }
    }
}

pub(crate) type ListResponse = ([(HeaderName, &'static str); 1], Json<ListBody>);

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListBody {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The submissions.
    pub(crate) data: Vec<SubmissionSummaryBody>,
    /// Position of the page in the list.
    pub(crate) pagination: SubmissionPagination,
}

/// Position of a page in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubmissionPagination {
    /// Page number, starting at 1. `null` if the request has a cursor.
    #[schema(required)]
    pub(crate) page: Option<usize>,
    /// Number of submissions per page.
    #[schema(example = 20)]
    pub(crate) per_page: usize,
    /// Exact number of matching submissions.
    #[schema(example = 123)]
    pub(crate) total: i64,
    /// Cursor for the next page. `null` on the last page.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
    /// Cursor for the previous page. `null` on the first page.
    #[schema(required)]
    pub(crate) prev_cursor: Option<String>,
}

/// A submission in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubmissionSummaryBody {
    /// Id of the submission.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: SubmissionId,
    /// E-mail address of the patient. `null` if the submission was erased.
    #[schema(required, example = "ana@example.org")]
    pub(crate) email: Option<String>,
    /// Status of the submission.
    pub(crate) status: SubmissionStatus,
    /// Number of runs.
    #[schema(example = 1)]
    pub(crate) runs: i32,
    /// Stable failure code.
    #[schema(required, value_type = Option<SubmissionErrorCode>)]
    pub(crate) error_code: Option<String>,
    /// Time of receipt.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) created_at: UtcTime,
    /// Time of the last change.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) updated_at: UtcTime,
    /// Time at which the submission reached its final state.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    finished_at: Option<UtcTime>,
    /// Id of the account that sent the submission.
    #[schema(required, value_type = Option<String>, format = "uuid")]
    submitted_by: Option<UserId>,
    /// Time of deletion.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) deleted_at: Option<UtcTime>,
    /// Time at which the personal data was erased.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) erased_at: Option<UtcTime>,
    /// Always `true`, because submissions without consent are rejected.
    #[schema(example = true)]
    consent_given: bool,
    /// Comments from the patient. Present only for callers with `clinical:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    comments: Option<String>,
    /// State of the latest e-mail. `null` if no e-mail is due. Present only in lists for staff.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SubmissionEmailState>)]
    pub(crate) email_state: Option<Option<SubmissionEmailState>>,
    /// Staff note. Present only in lists for staff.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) note: Option<Option<String>>,
    /// Id of the account to which the submission is assigned. Present only in lists for staff.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub(crate) assignee: Option<Option<UserId>>,
    /// Name of that account. Present only in lists for staff.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) assignee_name: Option<Option<String>>,
    /// Whether the current run is stuck because its workflow task fails on every attempt. Present only in lists for
    /// staff.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool)]
    pub(crate) stuck: Option<bool>,
}

impl From<SubmissionSummary> for SubmissionSummaryBody {
    fn from(row: SubmissionSummary) -> Self {
        Self {
            id: row.id,
            email: row.erased_at.is_none().then(|| row.email.to_string()),
            status: row.status.into(),
            runs: row.run_number,
            error_code: row.error_code,
            created_at: row.created_at,
            updated_at: row.updated_at,
            finished_at: row.finished_at,
            submitted_by: row.submitted_by,
            deleted_at: row.deleted_at,
            erased_at: row.erased_at,
            consent_given: true,
            comments: None,
            email_state: None,
            note: Some(row.note),
            assignee: Some(row.assignee),
            assignee_name: None,
            stuck: Some(row.stuck_since.is_some()),
        }
    }
}

fn response_body(
    request: &PageRequest,
    position: PagePosition,
    page: Page,
    total: i64,
) -> ListBody {
    let sort = request.sort;
    let (is_first, is_last) = match position {
        PagePosition::Skip(skipped) => (skipped == 0, !page.has_more),
        // A cursor comes from an adjacent page, so there is always another page on that side.
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
