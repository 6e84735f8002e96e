use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::listing::filter::{self, FilterRequest};
use crate::openapi::error_responses::errors;
use crate::routes::staff::bulk::{BulkRequest, MAX_CHANGES};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, BulkChange, ObjectKind};
use serde::Serialize;
use utoipa::ToSchema;

/// The result of a bulk retry.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkRetryResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Number of submissions that matched the filter.
    matched: i64,
    /// Number of submissions that were retried. Absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    retried: Option<i64>,
    /// Number of submissions that still match the filter, for `expected` in the next request. Absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<i64>,
}

errors!(RetrySubmissionsErrors: MatchCountChanged);

/// Retry all submissions that match a filter
///
/// Retries up to 1,000 submissions per request, oldest first. Send a request with `dry_run` first. Then send the
/// request again, passing the returned `matched` as `expected`. Repeat it with the returned `remaining` as `expected`
/// until `remaining` is 0.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/retry",
    tag = "staff",
    responses(
        (status = 200, description = "The result of the dry run.", body = BulkRetryResponse),
        (status = 202, description = "The submissions have been queued.", body = BulkRetryResponse),
        RetrySubmissionsErrors,
    ),
)]
pub(crate) async fn retry_submissions(
    State(state): State<AppState>,
    caller: Caller,
    request: BulkRequest,
) -> ApiResult<(StatusCode, Json<BulkRetryResponse>)> {
    let BulkRequest { filter, reason, confirmation } = request;
    let FilterRequest { filter, audit_details } = filter;
    let entry = caller
        .audit_entry(Action::SubmissionsRetry, ObjectKind::Service, "")
        .with("reason", reason.0.clone())
        .with("filter", audit_details);
    filter::check_filter(&state, &caller, &filter, &entry).await?;
    let change = BulkChange::retry(filter);
    let matched = state.app.store.count_changeable(&change).await?;
    let entry = entry.with("matched", matched);
    if !confirmation.check(&state, &entry, matched).await? {
        let body = BulkRetryResponse { success: true, matched, retried: None, remaining: None };
        return Ok((StatusCode::OK, Json(body)));
    }
    let each = caller
        .audit_entry(Action::SubmissionRetry, ObjectKind::Submission, "")
        .with("reason", reason.0);
    let store = state.app.store.clone();
    // The retry runs in a separate task, which completes even if the client disconnects.
    let work =
        tokio::spawn(
            async move { store.change_matching(&change, MAX_CHANGES, &each, &entry).await },
        );
    let counts = work.await.map_err(|_| ApiError::internal("a bulk retry panicked"))??;
    let (retried, remaining) = (Some(counts.changed), Some(counts.remaining));
    let body = BulkRetryResponse { success: true, matched, retried, remaining };
    Ok((StatusCode::ACCEPTED, Json(body)))
}
