//! The page of a submission for staff.

mod actions;
mod duration;
mod phases;
mod story;
mod timeline;

use self::actions::Actions;
use self::duration::duration_text;
use self::phases::{CHART_WIDTH, RunPhases, phases};
use self::timeline::{Entry, Sources, What, timeline};
use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::{ApiError, ApiResult};
use crate::extract::if_match::etag;
use crate::extract::path_id::PathId;
use crate::pages::console::context::ConsoleContext;
use crate::pages::masked::masked;
use crate::pages::patient::submission_report::ReportView;
use crate::pages::render::page;
use crate::routes::staff::audit::{AuditSearch, search_audit};
use crate::routes::staff::detail::{DeliveryBody, Detail, view_submission};
use crate::routes::staff::history::{HistoryBody, view_history};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::Utc;
use diagflow_store::{DiagnosisResult, Submission, SubmissionId, UserId};
use std::time::Duration;
use tokio::time::timeout;

/// Maximum time to wait for the history. The page is useful without it.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Template)]
#[template(path = "console/submission.html")]
struct SubmissionTemplate {
    page: ConsoleContext,
    own_id: UserId,
    detail: Detail,
    etag: String,
    report: Option<ReportView>,
    phases: Vec<RunPhases>,
    timeline: Vec<Entry>,
    history: Option<HistoryBody>,
    is_history_missing: bool,
    actions: Actions,
}

impl SubmissionTemplate {
    fn path(&self) -> String {
        format!("/api/admin/submissions/{}", self.detail.id)
    }

    fn masked_email(&self) -> Option<String> {
        self.detail.email.as_deref().map(masked)
    }

    fn masked_original_email(&self) -> Option<String> {
        self.detail.original_email.as_deref().map(masked)
    }

    fn has_comments(&self) -> bool {
        self.detail.comments.as_ref().is_some_and(|comments| !comments.trim().is_empty())
    }

    /// Returns the stuck state, or the status.
    fn state_name(&self) -> String {
        match self.detail.stuck_since {
            Some(_) => "stuck".to_owned(),
            None => self.detail.status.to_string(),
        }
    }

    /// The failure code of a submission that has ended without a result.
    fn failure_code(&self) -> Option<&str> {
        self.detail.error_code.as_deref().filter(|_| self.detail.finished_at.is_some())
    }

    /// What staff can do about a failure, if the code has an advice of its own.
    fn advice(&self, code: &str) -> Option<String> {
        self.page.language.text_for("console-advice", code).map(String::from)
    }

    fn is_assigned_to_caller(&self) -> bool {
        self.detail.assignee == Some(self.own_id)
    }

    fn chart_width(&self) -> i64 {
        CHART_WIDTH
    }

    fn is_current(&self, delivery: &DeliveryBody) -> bool {
        self.detail.runs.last().is_some_and(|run| run.number == delivery.run)
    }
}

pub(super) async fn read_submission(
    State(state): State<AppState>,
    caller: Caller,
    context: ConsoleContext,
    PathId(id): PathId<SubmissionId>,
) -> ApiResult<Response> {
    let (submission, detail) = view_submission(&state, &caller, id).await?;
    let may_read_history = caller.has_permission(Permission::HistoryRead);
    let history = if may_read_history { read_history(&state, &caller, id).await? } else { None };
    let audit = match caller.has_permission(Permission::AuditRead) {
        true => search_audit(&state, &caller, AuditSearch::about_submission(id)).await?,
        false => Vec::new(),
    };
    let timeline = timeline(&Sources {
        events: &detail.events,
        runs: &detail.runs,
        deliveries: &detail.deliveries,
        history: history.as_ref(),
        audit: &audit,
    });
    let template = SubmissionTemplate {
        own_id: caller.user.id,
        report: read_report(&state, &detail).await?,
        phases: phases(&detail.runs, &detail.deliveries, Utc::now()),
        timeline,
        is_history_missing: may_read_history && history.is_none(),
        history,
        actions: Actions::new(&submission, &context),
        etag: revision_tag(&submission),
        page: context,
        detail,
    };
    Ok(page(StatusCode::OK, &template))
}

/// Returns `None` if Temporal is unavailable.
async fn read_history(
    state: &AppState,
    caller: &Caller,
    id: SubmissionId,
) -> ApiResult<Option<HistoryBody>> {
    match timeout(HISTORY_TIMEOUT, view_history(state, caller, id)).await {
        Ok(Ok(history)) => Ok(Some(history)),
        Ok(Err(ApiError::TemporalUnavailable(_))) | Err(_) => Ok(None),
        Ok(Err(error)) => Err(error),
    }
}

async fn read_report(state: &AppState, detail: &Detail) -> ApiResult<Option<ReportView>> {
    let Some(result) = &detail.result else { return Ok(None) };
    let files = state.app.store.files(detail.id).await?;
    Ok(Some(ReportView::new(&DiagnosisResult::new(result.clone()), &files)))
}

/// Returns the `ETag` of the fields that staff can edit, for `If-Match`.
fn revision_tag(submission: &Submission) -> String {
    use axum_extra::headers::{Header, HeaderValue};
    let mut values: Vec<HeaderValue> = Vec::new();
    etag(submission.revision).encode(&mut values);
    values.first().and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
