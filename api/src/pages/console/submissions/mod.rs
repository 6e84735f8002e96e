//! The list of submissions.

mod address;
mod view;

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::query::ValidQuery;
use crate::pages::console::context::ConsoleContext;
use crate::pages::console::submissions::address::ListAddress;
use crate::pages::console::submissions::view::{SubmissionsTemplate, shown_errors};
use crate::pages::render::page;
use crate::routes::staff::list::{ListRequest, read_list};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

pub(super) async fn read_submissions(
    State(state): State<AppState>,
    caller: Caller,
    context: ConsoleContext,
    request: Result<ValidQuery<ListRequest>, ApiError>,
) -> ApiResult<Response> {
    let (status, list, errors) = match request {
        Ok(ValidQuery(request)) => {
            // The page does not show comments.
            let (_, Json(list)) = read_list(&state, &caller, request, false).await?;
            (StatusCode::OK, Some(list), Vec::new())
        }
        // The form shows the errors beside its fields.
        Err(ApiError::InvalidQuery(errors)) => {
            (StatusCode::BAD_REQUEST, None, shown_errors(&context, &errors))
        }
        Err(error) => return Err(error),
    };
    let counts = state.app.store.count_by_status().await?;
    let stuck = state.app.store.count_stuck().await?;
    let template = SubmissionsTemplate {
        address: ListAddress::of(&context.address),
        own_id: caller.user.id,
        page: context,
        counts,
        stuck,
        list,
        errors,
    };
    Ok(page(status, &template))
}
