//! `GET /api/admin/submissions`: the list of all submissions.

use crate::app::AppState;
use crate::auth::Caller;
use crate::error::{ApiResult, ErrorBody};
use crate::listing::{AskedFilter, AskedPage, FilterQuery, ListBody, PageQuery, answer, place};
use crate::query::{Asked, FromParameters, Parameters};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use diagflow_store::{Action, ObjectKind};

/// A filter and a page of what it matches.
pub(crate) struct AskedList {
    filter: AskedFilter,
    page: AskedPage,
}

impl FromParameters for AskedList {
    fn from_parameters(parameters: &mut Parameters) -> Self {
        let filter = AskedFilter::from_parameters(parameters);
        Self { filter, page: AskedPage::from_parameters(parameters) }
    }
}

/// Lists submissions, with the exact number of those that the filter matches.
#[utoipa::path(
    get,
    path = "/api/admin/submissions",
    tag = "staff",
    operation_id = "list_submissions",
    params(FilterQuery, PageQuery),
    responses(
        (status = 200, description = "A page of the list.", body = ListBody),
        (status = 400, description = "`invalid_query` (lists every fault), `invalid_cursor`, \
            `page_too_far`", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Asked(asked): Asked<AskedList>,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<ListBody>)> {
    let AskedList { filter: AskedFilter { filter, told }, page } = asked;
    let (place, per_page) = place(&page)?;
    let line = caller.did(Action::SubmissionsView, ObjectKind::Service, "").with("filter", told);
    let store = &state.app.store;
    let slice = store.list(&filter, page.sort, place, per_page).await?;
    let total = store.total(&filter).await?;
    store.audit(&line).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer(&page, place, slice, total))))
}
