//! `GET /api/v1/submissions`: the submissions that the caller's account sent.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::error::response::ErrorBody;
use crate::extract::query::ValidQuery;
use crate::listing::page::{self, ListBody, ListResponse, PageQuery, PageRequest};
use axum::extract::State;
use diagflow_store::{Action, ObjectKind, SubmissionFilter};

/// Lists the submissions that this account sent.
#[utoipa::path(
    get,
    path = "/api/v1/submissions",
    tag = "submissions",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of the list.", body = ListBody),
        (status = 400, description = "`invalid_query` (lists every fault), `invalid_cursor`, \
            `page_too_far`", body = ErrorBody),
    ),
)]
pub(crate) async fn list_own_submissions(
    State(state): State<AppState>,
    caller: Caller,
    ValidQuery(page): ValidQuery<PageRequest>,
) -> ApiResult<ListResponse> {
    let filter =
        SubmissionFilter { submitted_by: Some(caller.user.id), ..SubmissionFilter::default() };
    let entry = caller.audit_entry(Action::SubmissionsView, ObjectKind::User, caller.user.id);
    page::list_page(&state.app.store, &filter, &page, &entry).await
}
