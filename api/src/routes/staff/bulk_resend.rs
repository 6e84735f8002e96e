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
use diagflow_store::{Action, BulkChange, ObjectKind};
use serde::Serialize;
use utoipa::ToSchema;

/// The result of a bulk resend.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkResendResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Number of submissions that matched the filter.
    matched: i64,
    /// Number of e-mails that will be resent. Absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    resent: Option<i64>,
    /// Number of submissions that still match the filter, for `expected` in the next request. Absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<i64>,
}

errors!(ResendSubmissionsErrors: MatchCountChanged);

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
        (status = 200, description = "The result of the dry run.", body = BulkResendResponse),
        (status = 202, description = "The e-mails will be resent.", body = BulkResendResponse),
        ResendSubmissionsErrors,
    ),
)]
pub(crate) async fn resend_emails(
    State(state): State<AppState>,
    caller: Caller,
    request: BulkRequest,
) -> ApiResult<(StatusCode, Json<BulkResendResponse>)> {
    let BulkRequest { filter, reason, confirmation } = request;
    let FilterRequest { filter, audit_details } = filter;
    if filter.email_states.iter().any(|state| !BulkChange::RESENDABLE.contains(state)) {
        let message = "Only failed and unknown e-mails can be resent in bulk";
        let code = FieldErrorCode::EmailStateInvalid;
        return Err(invalid("filter.email_state", code, message));
    }
    let entry = caller
        .audit_entry(Action::MailsResend, ObjectKind::Service, "")
        .with("reason", reason.0.clone())
        .with("filter", audit_details);
    filter::check_filter(&state, &caller, &filter, &entry).await?;
    let change = BulkChange::resend(filter);
    let matched = state.app.store.count_changeable(&change).await?;
    let entry = entry.with("matched", matched);
    if !confirmation.check(&state, &entry, matched).await? {
        let body = BulkResendResponse { success: true, matched, resent: None, remaining: None };
        return Ok((StatusCode::OK, Json(body)));
    }
    let each =
        caller.audit_entry(Action::MailResend, ObjectKind::Submission, "").with("reason", reason.0);
    let store = state.app.store.clone();
    // The e-mails are planned in a separate task, which completes even if the client disconnects.
    let work =
        tokio::spawn(
            async move { store.change_matching(&change, MAX_CHANGES, &each, &entry).await },
        );
    let counts = work.await.map_err(|_| ApiError::internal("a bulk resend panicked"))??;
    state.app.dispatch.wake_reconciler();
    let (resent, remaining) = (Some(counts.changed), Some(counts.remaining));
    let body = BulkResendResponse { success: true, matched, resent, remaining };
    Ok((StatusCode::ACCEPTED, Json(body)))
}
