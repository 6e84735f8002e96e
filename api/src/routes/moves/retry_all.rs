//! `POST /api/admin/submissions/retry`: sets everything going again that a filter matches.

use crate::app::AppState;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::intake::Fault;
use crate::reason::Reason;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use diagflow_store::{Action, ObjectKind, RetryFilter, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Submissions that one call sets going again at most.
const MOST: i64 = 1000;
/// The longest error code that there is.
const LONGEST_CODE: usize = 64;

/// What to set going again.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RetryAll {
    /// Which submissions; all that is given must hold.
    #[serde(default)]
    filter: Filter,
    /// Why, in 1 to 500 characters. It goes into the audit.
    #[schema(example = "LoopAI was down at noon", min_length = 1, max_length = 500)]
    reason: Option<String>,
    /// Whether only to count. Default: no.
    #[serde(default)]
    dry_run: bool,
    /// How many the dry run counted. Needed for the real run, and checked.
    expected: Option<i64>,
}

/// Which submissions.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// `failed`, `timed_out`, `cancelled`, `completed`. Default: all but `completed`.
    #[serde(default)]
    status: Vec<String>,
    /// Received then or later.
    #[schema(value_type = Option<String>, format = "date-time")]
    created_from: Option<DateTime<Utc>>,
    /// Received before that.
    #[schema(value_type = Option<String>, format = "date-time")]
    created_to: Option<DateTime<Utc>>,
    /// Why they ended, as a stable code.
    #[schema(example = "loopai_unavailable")]
    error_code: Option<String>,
    /// The patient's e-mail address.
    email: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RetriedAll {
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
    operation_id = "retry_submissions",
    request_body = RetryAll,
    responses(
        (status = 200, description = "Counted (dry run).", body = RetriedAll),
        (status = 202, description = "Set going again.", body = RetriedAll),
        (status = 400, description = "`reason_required`, `invalid_input`, `invalid_json`", body = ErrorBody),
        (status = 409, description = "`matched_otherwise`: with the present count", body = ErrorBody),
    ),
)]
pub(crate) async fn retry_all(
    State(state): State<AppState>,
    caller: Caller,
    Body(given): Body<RetryAll>,
) -> ApiResult<(StatusCode, Json<RetriedAll>)> {
    let RetryAll { filter, reason: why, dry_run, expected } = given;
    let Reason(why) = Reason::of(why)?;
    let shown = filter.shown();
    let filter = filter.checked()?;
    let matched = state.app.store.retry_matches(&filter).await?;
    let whole = caller
        .did(Action::SubmissionsRetry, ObjectKind::Service, "")
        .with("reason", why.clone())
        .with("filter", shown)
        .with("matched", matched);
    if dry_run {
        state.app.store.audit(&whole.with("dry_run", true)).await?;
        let body = RetriedAll { success: true, matched, retried: None, remaining: None };
        return Ok((StatusCode::OK, Json(body)));
    }
    let expected = expected.ok_or_else(|| {
        let message = "Say how many submissions the dry run counted";
        wrong("expected", "expected_required", message)
    })?;
    if expected != matched {
        let refusal = ApiError::MatchedOtherwise { matched };
        state.app.store.audit(&whole.refused(refusal.code())).await?;
        return Err(refusal);
    }
    let each = caller.did(Action::SubmissionRetry, ObjectKind::Submission, "").with("reason", why);
    let store = state.app.store.clone();
    // Goes on to its end, and to the line of the whole, also when nobody waits for the answer any more.
    let work = tokio::spawn(async move { store.retry_all(&filter, MOST, &each, &whole).await });
    let counts =
        work.await.map_err(|_| ApiError::Internal("a retry of many broke off".into()))??;
    let (retried, remaining) = (Some(counts.retried), Some(counts.remaining));
    let body = RetriedAll { success: true, matched, retried, remaining };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

impl Filter {
    /// As the audit has it.
    fn shown(&self) -> Value {
        let time = |at: Option<DateTime<Utc>>| {
            at.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true))
        };
        json!({
            "status": self.status,
            "created_from": time(self.created_from),
            "created_to": time(self.created_to),
            "error_code": self.error_code,
            "email": self.email,
        })
    }

    fn checked(self) -> ApiResult<RetryFilter> {
        let statuses = self.status.iter().map(|name| match name.parse::<Status>() {
            Ok(status) if status.is_final() => Ok(status),
            _ => {
                Err(wrong("filter.status", "status_invalid", "Only what has ended can be retried"))
            }
        });
        let statuses = statuses.collect::<Result<Vec<_>, _>>()?;
        let email = self.email.map(|email| email.parse()).transpose();
        let email = email
            .map_err(|_| wrong("filter.email", "email_invalid", "This is no e-mail address"))?;
        if self.error_code.as_ref().is_some_and(|code| code.len() > LONGEST_CODE) {
            return Err(wrong("filter.error_code", "error_code_invalid", "There is no such code"));
        }
        Ok(RetryFilter {
            statuses,
            created_from: self.created_from.map(|at| at.naive_utc()),
            created_to: self.created_to.map(|at| at.naive_utc()),
            error_code: self.error_code,
            email,
        })
    }
}

fn wrong(field: &str, code: &'static str, message: &str) -> ApiError {
    ApiError::InvalidInput(vec![Fault {
        field: field.to_owned(),
        code,
        message: message.to_owned(),
    }])
}
