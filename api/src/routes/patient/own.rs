//! `GET /api/v1/submissions`: the submissions that the caller's account sent.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::error::answer::ErrorBody;
use crate::extract::query::Asked;
use crate::listing::page::{self, AskedPage, ListAnswer, ListBody, PageQuery};
use axum::extract::State;
use diagflow_store::{Action, Filter, ObjectKind};

/// Lists the submissions that this account sent.
#[utoipa::path(
    get,
    path = "/api/v1/submissions",
    tag = "submissions",
    operation_id = "own_submissions",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of the list.", body = ListBody),
        (status = 400, description = "`invalid_query` (lists every fault), `invalid_cursor`, \
            `page_too_far`", body = ErrorBody),
    ),
)]
pub(crate) async fn own(
    State(state): State<AppState>,
    caller: Caller,
    Asked(page): Asked<AskedPage>,
) -> ApiResult<ListAnswer> {
    let filter = Filter { submitted_by: Some(caller.user.id), ..Filter::default() };
    let line = caller.did(Action::SubmissionsView, ObjectKind::User, caller.user.id);
    page::page(&state.app.store, &filter, &page, &line).await
}
