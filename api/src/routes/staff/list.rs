use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::{ApiResult, ErrorCode};
use crate::extract::query::{FromParameters, Parameters, ValidQuery};
use crate::listing::filter::{self, FilterRequest};
use crate::listing::page::{self, ListBody, ListReader, ListResponse, PageRequest};
use axum::extract::State;
use diagflow_store::{Action, ObjectKind};
use utoipa::openapi::path::Parameter;

pub(crate) struct ListRequest {
    filter: FilterRequest,
    pub(crate) page: PageRequest,
}

impl FromParameters for ListRequest {
    const ERRORS: &'static [ErrorCode] = &[
        ErrorCode::CommentSearchForbidden,
        ErrorCode::DeletedForbidden,
        ErrorCode::InvalidCursor,
        ErrorCode::PageTooFar,
    ];

    fn parameters() -> Vec<Parameter> {
        [FilterRequest::parameters(), PageRequest::parameters()].concat()
    }

    fn from_parameters(parameters: &mut Parameters) -> Self {
        let filter = FilterRequest::from_parameters(parameters);
        Self { filter, page: PageRequest::from_parameters(parameters) }
    }
}

/// List submissions
///
/// `pagination.total` is the exact number of submissions that match the filter. Comments are included only for callers
/// with the `clinical:read` permission.
#[utoipa::path(
    get,
    path = "/api/admin/submissions",
    tag = "staff",
    responses((status = 200, description = "A page of submissions.", body = ListBody)),
)]
pub(crate) async fn list_submissions(
    State(state): State<AppState>,
    caller: Caller,
    ValidQuery(request): ValidQuery<ListRequest>,
) -> ApiResult<ListResponse> {
    let clinical = caller.has_permission(Permission::ClinicalRead);
    read_list(&state, &caller, request, clinical).await
}

/// Reads a page of the list, with comments if `clinical` is set, and appends an audit entry.
pub(crate) async fn read_list(
    state: &AppState,
    caller: &Caller,
    request: ListRequest,
    clinical: bool,
) -> ApiResult<ListResponse> {
    let ListRequest { filter: FilterRequest { filter, audit_details }, page } = request;
    let entry = caller.audit_entry(Action::SubmissionsView, ObjectKind::Service, "");
    let entry = entry.with("filter", audit_details);
    filter::check_filter(state, caller, &filter, &entry).await?;
    let entry = entry.with("clinical", clinical);
    let reader = ListReader::Staff { clinical };
    page::list_page(&state.app.store, &filter, &page, reader, &entry).await
}
