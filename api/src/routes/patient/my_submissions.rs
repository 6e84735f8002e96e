use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::extract::query::ValidQuery;
use crate::listing::page::{self, ListBody, ListReader, ListResponse, PageRequest};
use axum::extract::State;
use diagflow_store::{Action, ObjectKind, SubmissionFilter};

/// List your own submissions
///
/// Returns the submissions that were sent with your account's credentials.
#[utoipa::path(
    get,
    path = "/api/v1/submissions",
    tag = "submissions",
    responses((status = 200, description = "A page of submissions.", body = ListBody)),
)]
pub(crate) async fn list_own_submissions(
    State(state): State<AppState>,
    caller: Caller,
    ValidQuery(page): ValidQuery<PageRequest>,
) -> ApiResult<ListResponse> {
    let filter =
        SubmissionFilter { submitted_by: Some(caller.user.id), ..SubmissionFilter::default() };
    let entry = caller.audit_entry(Action::SubmissionsView, ObjectKind::User, caller.user.id);
    page::list_page(&state.app.store, &filter, &page, ListReader::Sender, &entry).await
}
