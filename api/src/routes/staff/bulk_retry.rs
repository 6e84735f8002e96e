use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::error::field_errors::{FieldError, FieldErrorCode};
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::body::Body;
use crate::extract::query::{FromParameters, Parameters};
use crate::extract::reason::Reason;
use crate::listing::filter::{self, FilterRequest};
use crate::openapi::error_responses::errors;
use crate::openapi::names::{SubmissionErrorCode, SubmissionStatus};
use crate::openapi::route::{Documented, RouteDocument};
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use diagflow_store::{Action, DeletedFilter, ObjectKind, RetryFilter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Maximum number of submissions that one request retries.
const MAX_RETRIES: i64 = 1000;

/// Filter and options of a bulk retry.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({
    "filter": {"status": ["failed"]},
    "reason": "LoopAI was down at noon",
    "dry_run": true,
}))]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkRetryRequest {
    /// Filter for the submissions. All conditions must match.
    #[serde(default)]
    filter: RetryFilterBody,
    /// Reason for the audit log, 1 to 500 characters. Do not include medical information.
    #[schema(value_type = String, example = "LoopAI was down at noon", min_length = 1, max_length = 500)]
    reason: Option<String>,
    /// Whether to count the matching submissions without retrying them. Default: `false`.
    #[serde(default)]
    dry_run: bool,
    /// Number of matching submissions that the dry run returned. Required unless `dry_run` is `true`.
    expected: Option<i64>,
}

/// A filter with the same parameters as the list of submissions.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryFilterBody {
    /// Statuses, which must be final. Default: all except `completed`.
    #[serde(default)]
    #[schema(value_type = Vec<SubmissionStatus>)]
    status: Vec<String>,
    /// Earliest time of receipt: a day in UTC, or an RFC 3339 time.
    created_from: Option<String>,
    /// Latest time of receipt: a day in UTC (inclusive), or an RFC 3339 time (exclusive).
    created_to: Option<String>,
    /// E-mail address of the patient, or a prefix of it followed by `*`. Case is ignored.
    email: Option<String>,
    /// Search terms, at most 10. Each term must match the beginning of a word in the comments and have at least three
    /// letters. Common words (`the`, `with`) are ignored. Requires `clinical:read`.
    comments: Option<String>,
    /// Error code of the submission.
    #[schema(value_type = Option<SubmissionErrorCode>)]
    error_code: Option<String>,
    /// Id of the account that takes care of the submission.
    #[schema(format = "uuid")]
    assignee: Option<String>,
    /// Only `without` is allowed: restore deleted submissions before you retry them.
    deleted: Option<String>,
}

/// The result of a bulk retry.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkRetryResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Number of submissions that the filter matched.
    matched: i64,
    /// Number of submissions that were retried. Absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    retried: Option<i64>,
    /// Number of submissions that still match. Send it as `expected` in the next request. Absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<i64>,
}

/// A [`BulkRetryRequest`] with a valid filter and reason.
pub(crate) struct BulkRetry {
    filter: FilterRequest,
    reason: Reason,
    dry_run: bool,
    expected: Option<i64>,
}

impl<S: Send + Sync> FromRequest<S> for BulkRetry {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        let Body(body) = Body::<BulkRetryRequest>::from_request(request, state).await?;
        let BulkRetryRequest { filter, reason, dry_run, expected } = body;
        let reason = Reason::parse(reason)?;
        Ok(Self { filter: filter.parse()?, reason, dry_run, expected })
    }
}

impl Documented for BulkRetry {
    fn document(route: &mut RouteDocument<'_>) {
        Body::<BulkRetryRequest>::document(route);
        route.add_errors(&[ErrorCode::ReasonRequired]);
        route.add_errors(FilterRequest::ERRORS);
    }
}

errors!(RetrySubmissionsErrors: MatchCountChanged);

/// Retry all submissions that match a filter
///
/// Retries the oldest submissions first, at most 1,000 per request. Send the request with `dry_run` first, then with
/// the returned `matched` as `expected`. Repeat it with `remaining` as `expected` until `remaining` is 0.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/retry",
    tag = "staff",
    responses(
        (status = 200, description = "The result of the dry run.", body = BulkRetryResponse),
        (status = 202, description = "The submissions are queued.", body = BulkRetryResponse),
        RetrySubmissionsErrors,
    ),
)]
pub(crate) async fn retry_submissions(
    State(state): State<AppState>,
    caller: Caller,
    request: BulkRetry,
) -> ApiResult<(StatusCode, Json<BulkRetryResponse>)> {
    let BulkRetry { filter, reason: Reason(reason), dry_run, expected } = request;
    let FilterRequest { filter, audit_details } = filter;
    let entry = caller
        .audit_entry(Action::SubmissionsRetry, ObjectKind::Service, "")
        .with("reason", reason.clone())
        .with("filter", audit_details);
    filter::check_comment_search(&state, &caller, &filter, &entry).await?;
    let filter = RetryFilter::from(filter);
    let matched = state.app.store.count_retryable(&filter).await?;
    let entry = entry.with("matched", matched);
    if dry_run {
        state.app.store.append_audit_entry(&entry.with("dry_run", true)).await?;
        let body = BulkRetryResponse { success: true, matched, retried: None, remaining: None };
        return Ok((StatusCode::OK, Json(body)));
    }
    let expected = expected.ok_or_else(|| {
        let message = "expected is required: send the number that the dry run returned".to_owned();
        let field = "expected".to_owned();
        ApiError::InvalidInput(vec![FieldError {
            field,
            code: FieldErrorCode::ExpectedRequired,
            message,
        }])
    })?;
    if expected != matched {
        return Err(refuse(&state, entry, ApiError::MatchCountChanged { matched }).await);
    }
    let retry_entry = caller
        .audit_entry(Action::SubmissionRetry, ObjectKind::Submission, "")
        .with("reason", reason);
    let store = state.app.store.clone();
    // Runs in its own task, so that the retry and its audit entry complete even if the client disconnects.
    let work = tokio::spawn(async move {
        store.retry_matching(&filter, MAX_RETRIES, &retry_entry, &entry).await
    });
    let counts = work.await.map_err(|_| ApiError::internal("a bulk retry panicked"))??;
    let (retried, remaining) = (Some(counts.retried), Some(counts.remaining));
    let body = BulkRetryResponse { success: true, matched, retried, remaining };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

impl RetryFilterBody {
    fn parse(self) -> ApiResult<FilterRequest> {
        let status = (!self.status.is_empty()).then(|| self.status.join(","));
        let given = [
            ("status", status),
            ("created_from", self.created_from),
            ("created_to", self.created_to),
            ("email", self.email),
            ("comments", self.comments),
            ("error_code", self.error_code),
            ("assignee", self.assignee),
            ("deleted", self.deleted),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut parameters = Parameters::given(given);
        let request = FilterRequest::from_parameters(&mut parameters);
        if request.filter.statuses.iter().any(|status| !status.is_final()) {
            let message = "Only submissions in a final state can be retried".to_owned();
            parameters.add_error("status", FieldErrorCode::StatusInvalid, message);
        }
        if request.filter.deleted != DeletedFilter::Exclude {
            let message = "Deleted submissions must be restored first".to_owned();
            parameters.add_error("deleted", FieldErrorCode::DeletedInvalid, message);
        }
        let errors = parameters.finish().into_iter();
        let errors: Vec<_> = errors
            .map(|error| FieldError { field: format!("filter.{}", error.field), ..error })
            .collect();
        if errors.is_empty() { Ok(request) } else { Err(ApiError::InvalidInput(errors)) }
    }
}
