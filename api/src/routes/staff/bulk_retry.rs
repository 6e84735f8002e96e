//! `POST /api/admin/submissions/retry`: sets everything going again that a filter matches.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::field_errors::FieldError;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::query::{FromParameters, Parameters};
use crate::extract::reason::Reason;
use crate::listing::filter::{self, FilterRequest};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, DeletedFilter, ObjectKind, RetryFilter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Submissions that one call sets going again at most.
const MAX_RETRIES: i64 = 1000;

/// What to set going again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkRetryRequest {
    /// Which submissions; all that is given must hold.
    #[serde(default)]
    filter: RetryFilterBody,
    /// Why, in 1 to 500 characters. It goes into the audit.
    #[schema(example = "LoopAI was down at noon", min_length = 1, max_length = 500)]
    reason: Option<String>,
    /// Whether only to count. Default: no.
    #[serde(default)]
    dry_run: bool,
    /// How many the dry run counted. Needed for the real run, and checked.
    expected: Option<i64>,
}

/// Which submissions: everything that the list can be request for, by the same names and in the same words.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryFilterBody {
    /// `failed`, `timed_out`, `cancelled`, `completed`. Default: all but `completed`.
    #[serde(default)]
    status: Vec<String>,
    /// Received then or later: a day (UTC), or a time by RFC 3339.
    created_from: Option<String>,
    /// Received before this time, or on this day (UTC) or earlier.
    created_to: Option<String>,
    /// The patient's address, in upper or lower case; its beginning when it ends with `*`.
    email: Option<String>,
    /// Words in the comments. Needs `clinical:read`.
    comments: Option<String>,
    /// Why they ended, as a stable code.
    #[schema(example = "loopai_unavailable")]
    error_code: Option<String>,
    /// `without`: what is deleted is restored first.
    deleted: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkRetryResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// How many the filter matched.
    matched: i64,
    /// How many were set going again; none in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    retried: Option<i64>,
    /// How many the filter still matches; none in a dry run. What to expect from the next call.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<i64>,
}

/// Sets everything going again that a filter matches, the oldest first, at most 1000 at once.
///
/// First with `dry_run`, which counts; then with `expected`, the number that was counted. Repeat it while
/// `remaining` is not 0.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/retry",
    tag = "staff",
    request_body = BulkRetryRequest,
    responses(
        (status = 200, description = "Counted (dry run).", body = BulkRetryResponse),
        (status = 202, description = "Set going again.", body = BulkRetryResponse),
        (status = 400, description = "`reason_required`, `invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 409, description = "`match_count_changed`: with the present count", body = ErrorBody),
    ),
)]
pub(crate) async fn retry_submissions(
    State(state): State<AppState>,
    caller: Caller,
    Body(given): Body<BulkRetryRequest>,
) -> ApiResult<(StatusCode, Json<BulkRetryResponse>)> {
    let BulkRetryRequest { filter, reason: why, dry_run, expected } = given;
    let Reason(why) = Reason::parse(why)?;
    let FilterRequest { filter, audit_details } = filter.read()?;
    let entry = caller
        .audit_entry(Action::SubmissionsRetry, ObjectKind::Service, "")
        .with("reason", why.clone())
        .with("filter", audit_details);
    filter::check_comment_search(&state.app.store, &caller, &filter, &entry).await?;
    let filter = RetryFilter::from(filter);
    let matched = state.app.store.count_retryable(&filter).await?;
    let entry = entry.with("matched", matched);
    if dry_run {
        state.app.store.append_audit_entry(&entry.with("dry_run", true)).await?;
        let body = BulkRetryResponse { success: true, matched, retried: None, remaining: None };
        return Ok((StatusCode::OK, Json(body)));
    }
    let expected = expected.ok_or_else(|| {
        let message = "Say how many submissions the dry run counted".to_owned();
        let field = "expected".to_owned();
        ApiError::InvalidInput(vec![FieldError { field, code: "expected_required", message }])
    })?;
    if expected != matched {
        let refusal = ApiError::MatchCountChanged { matched };
        state.app.store.append_audit_entry(&entry.refused(refusal.code())).await?;
        return Err(refusal);
    }
    let retry_entry =
        caller.audit_entry(Action::SubmissionRetry, ObjectKind::Submission, "").with("reason", why);
    let store = state.app.store.clone();
    // Goes on to its end, and to the entry of the entry, also when nobody waits for the answer any more.
    let work = tokio::spawn(async move {
        store.retry_matching(&filter, MAX_RETRIES, &retry_entry, &entry).await
    });
    let counts =
        work.await.map_err(|_| ApiError::Internal("a retry of many broke off".into()))??;
    let (retried, remaining) = (Some(counts.retried), Some(counts.remaining));
    let body = BulkRetryResponse { success: true, matched, retried, remaining };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

impl RetryFilterBody {
    /// As the list reads it.
    fn read(self) -> ApiResult<FilterRequest> {
        let status = (!self.status.is_empty()).then(|| self.status.join(","));
        let given = [
            ("status", status),
            ("created_from", self.created_from),
            ("created_to", self.created_to),
            ("email", self.email),
            ("comments", self.comments),
            ("error_code", self.error_code),
            ("deleted", self.deleted),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut parameters = Parameters::given(given);
        let request = FilterRequest::from_parameters(&mut parameters);
        if request.filter.statuses.iter().any(|status| !status.is_final()) {
            let message = "Only what has ended can be set going again".to_owned();
            parameters.add_error("status", "status_invalid", message);
        }
        if request.filter.deleted != DeletedFilter::Exclude {
            let message = "What is deleted must be restored before".to_owned();
            parameters.add_error("deleted", "deleted_invalid", message);
        }
        let faults = parameters.finish().into_iter();
        let faults: Vec<_> =
            faults.map(|it| FieldError { field: format!("filter.{}", it.field), ..it }).collect();
        if faults.is_empty() { Ok(request) } else { Err(ApiError::InvalidInput(faults)) }
    }
}
