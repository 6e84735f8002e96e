//! `GET /api/v1/submissions`: the submissions that the caller's account sent.

use crate::app::AppState;
use crate::auth::Caller;
use crate::error::{ApiResult, ErrorBody};
use crate::listing::{AskedPage, ListBody, PageQuery, answer, place};
use crate::query::Asked;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
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
) -> ApiResult<([(HeaderName, &'static str); 1], Json<ListBody>)> {
    let (place, per_page) = place(&page)?;
    let filter = Filter { submitted_by: Some(caller.user.id), ..Filter::default() };
    let line = caller.did(Action::SubmissionsView, ObjectKind::User, caller.user.id);
    let store = &state.app.store;
    let slice = store.list(&filter, page.sort, place, per_page).await?;
    let total = store.total(&filter).await?;
    store.audit(&line).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer(&page, place, slice, total))))
}
