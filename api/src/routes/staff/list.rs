//! `GET /api/admin/submissions`: the list of all submissions.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::error::response::ErrorBody;
use crate::extract::query::{FromParameters, Parameters, ValidQuery};
use crate::listing::filter::{self, FilterQuery, FilterRequest};
use crate::listing::page::{self, ListBody, ListResponse, PageQuery, PageRequest};
use axum::extract::State;
use diagflow_store::{Action, ObjectKind};

/// A filter and a page of what it matches.
pub(crate) struct ListRequest {
    filter: FilterRequest,
    page: PageRequest,
}

impl FromParameters for ListRequest {
    fn from_parameters(parameters: &mut Parameters) -> Self {
        let filter = FilterRequest::from_parameters(parameters);
        Self { filter, page: PageRequest::from_parameters(parameters) }
    }
}

/// Lists submissions, with the exact number of those that the filter matches.
#[utoipa::path(
    get,
    path = "/api/admin/submissions",
    tag = "staff",
    params(FilterQuery, PageQuery),
    responses(
        (status = 200, description = "A page of the list.", body = ListBody),
        (status = 400, description = "`invalid_query` (lists every fault), `invalid_cursor`, \
            `page_too_far`", body = ErrorBody),
    ),
)]
pub(crate) async fn list_submissions(
    State(state): State<AppState>,
    caller: Caller,
    ValidQuery(request): ValidQuery<ListRequest>,
) -> ApiResult<ListResponse> {
    let ListRequest { filter: FilterRequest { filter, audit_details }, page } = request;
    let entry = caller
        .audit_entry(Action::SubmissionsView, ObjectKind::Service, "")
        .with("filter", audit_details);
    filter::check_comment_search(&state.app.store, &caller, &filter, &entry).await?;
    page::list_page(&state.app.store, &filter, &page, &entry).await
}
