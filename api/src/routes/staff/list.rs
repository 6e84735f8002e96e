//! `GET /api/admin/submissions`: the list of all submissions.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::error::answer::ErrorBody;
use crate::extract::query::{Asked, FromParameters, Parameters};
use crate::listing::asked::{self, AskedFilter, FilterQuery};
use crate::listing::page::{self, AskedPage, ListAnswer, ListBody, PageQuery};
use axum::extract::State;
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
) -> ApiResult<ListAnswer> {
    let AskedList { filter: AskedFilter { filter, told }, page } = asked;
    let line = caller.did(Action::SubmissionsView, ObjectKind::Service, "").with("filter", told);
    asked::permit(&state.app.store, &caller, &filter, &line).await?;
    page::page(&state.app.store, &filter, &page, &line).await
}
