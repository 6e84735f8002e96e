//! Cancels and retries submissions, and resends e-mails, in bulk.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::field_errors::FieldErrorCode;
use crate::error::{ApiError, ApiResult};
use crate::listing::filter::{self, FilterRequest};
use crate::openapi::error_responses::errors;
use crate::routes::staff::bulk::{BulkRequest, MAX_CHANGES, invalid};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use diagflow_store::{Action, BulkChange, BulkCounts, NotResendable, ObjectKind, Status};
use serde::Serialize;
use utoipa::ToSchema;

/// The result of a bulk action.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Number of submissions that matched the filter.
    matched: i64,
    /// Number of submissions that were cancelled or retried, or whose e-mail will be resent. Absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<i64>,
    /// Number of submissions that still match the filter, for `expected` in the next request. Absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<i64>,
}

/// The actions in the audit log: of the whole request, and of each submission.
struct AuditActions {
    whole: Action,
    each: Action,
}

errors!(BulkErrors: MatchCountChanged);

const ONLY_FINAL: &str = "status must contain only final statuses";
const NOT_FINAL: &str = "status must not contain final statuses";

/// Cancel all submissions that match a filter
///
/// Cancels up to 1,000 submissions per request, oldest first. Submissions that have ended or have already been cancelled
/// do not match. The patients are notified by e-mail. Send a request with `dry_run` first. Then send the request again,
/// passing the returned `matched` as `expected`. Repeat it with the returned `remaining` as `expected` until
/// `remaining` is 0.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/cancel",
    tag = "staff",
    responses(
        (status = 200, description = "The result of the dry run.", body = BulkResponse),
        (status = 202, description = "The submissions are being cancelled.", body = BulkResponse),
        BulkErrors,
    ),
)]
pub(crate) async fn cancel_submissions(
    State(state): State<AppState>,
    caller: Caller,
    request: BulkRequest,
) -> ApiResult<(StatusCode, Json<BulkResponse>)> {
    request.check_statuses(|status| !status.is_final(), NOT_FINAL)?;
    let change = BulkChange::cancel(request.filter.filter.clone());
    let actions = AuditActions { whole: Action::SubmissionsCancel, each: Action::SubmissionCancel };
    carry_out(&state, &caller, request, change, actions).await
}

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
        (status = 200, description = "The result of the dry run.", body = BulkResponse),
        (status = 202, description = "The submissions have been queued.", body = BulkResponse),
        BulkErrors,
    ),
)]
pub(crate) async fn retry_submissions(
    State(state): State<AppState>,
    caller: Caller,
    request: BulkRequest,
) -> ApiResult<(StatusCode, Json<BulkResponse>)> {
    request.check_statuses(Status::is_final, ONLY_FINAL)?;
    let change = BulkChange::retry(request.filter.filter.clone());
    let actions = AuditActions { whole: Action::SubmissionsRetry, each: Action::SubmissionRetry };
    carry_out(&state, &caller, request, change, actions).await
}

/// Resend the latest e-mail for all submissions that match a filter
///
/// Sends a new copy of the latest e-mail for up to 1,000 submissions per request, oldest first. By default, only failed
/// e-mails are resent. With `"email_state": ["unknown"]` in the filter, patients may receive an e-mail twice. Send a
/// request with `dry_run` first. Then send the request again, passing the returned `matched` as `expected`. Repeat it
/// with the returned `remaining` as `expected` until `remaining` is 0. If the copy fails as well, its submission
/// matches the filter again.
#[utoipa::path(
    post,
    path = "/api/admin/submissions/resend",
    tag = "staff",
    responses(
        (status = 200, description = "The result of the dry run.", body = BulkResponse),
        (status = 202, description = "The e-mails will be resent.", body = BulkResponse),
        BulkErrors,
    ),
)]
pub(crate) async fn resend_emails(
    State(state): State<AppState>,
    caller: Caller,
    request: BulkRequest,
) -> ApiResult<(StatusCode, Json<BulkResponse>)> {
    request.check_statuses(Status::is_final, ONLY_FINAL)?;
    let change =
        BulkChange::resend(request.filter.filter.clone()).map_err(|NotResendable(_)| {
            let message = "Only failed and unknown e-mails can be resent in bulk";
            invalid("filter.email_state", FieldErrorCode::EmailStateInvalid, message)
        })?;
    let actions = AuditActions { whole: Action::MailsResend, each: Action::MailResend };
    carry_out(&state, &caller, request, change, actions).await
}

async fn carry_out(
    state: &AppState,
    caller: &Caller,
    request: BulkRequest,
    change: BulkChange,
    actions: AuditActions,
) -> ApiResult<(StatusCode, Json<BulkResponse>)> {
    let BulkRequest { filter, reason, confirmation } = request;
    let FilterRequest { filter, audit_details } = filter;
    let whole = caller
        .audit_entry(actions.whole, ObjectKind::Service, "")
        .with("reason", reason.0.clone())
        .with("filter", audit_details);
    filter::check_filter(state, caller, &filter, &whole).await?;
    let matched = state.app.store.count_changeable(&change).await?;
    let whole = whole.with("matched", matched);
    if !confirmation.check(state, &whole, matched).await? {
        let body = BulkResponse { success: true, matched, changed: None, remaining: None };
        return Ok((StatusCode::OK, Json(body)));
    }
    let each =
        caller.audit_entry(actions.each, ObjectKind::Submission, "").with("reason", reason.0);
    let store = state.app.store.clone();
    // The changes are made in a separate task, which completes even if the client disconnects.
    let work =
        tokio::spawn(
            async move { store.change_matching(&change, MAX_CHANGES, &each, &whole).await },
        );
    let counts = work.await.map_err(|_| ApiError::internal("a bulk action panicked"))??;
    state.app.dispatch.wake_reconciler();
    let BulkCounts { changed, remaining } = counts;
    let (changed, remaining) = (Some(changed), Some(remaining));
    let body = BulkResponse { success: true, matched, changed, remaining };
    Ok((StatusCode::ACCEPTED, Json(body)))
}
