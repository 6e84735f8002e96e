//! Cancels and deletes a submission. Each action has a page that asks for confirmation. A form of another website cannot
//! send the cookie (`SameSite=Strict`), so the forms need no token of their own.

use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::extract::submission_access::{
    CancelAction, EraseAction, PatientAccess, SubmissionAccess, page_path,
};
use crate::pages::context::PageContext;
use crate::pages::patient::submission::error_page;
use crate::pages::render::page;
use crate::routes::cancellation::cancel;
use crate::routes::erasure::erase;
use crate::routes::patient::erase::REASON;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Redirect, Response};
use diagflow_store::SubmissionId;

#[derive(Template)]
#[template(path = "patient/submission_cancel.html")]
struct CancelTemplate {
    page: PageContext,
    back: String,
}

#[derive(Template)]
#[template(path = "patient/submission_delete.html")]
struct DeleteTemplate {
    page: PageContext,
    back: String,
    is_final: bool,
    /// Whether the deletion has to wait until an e-mail has been sent.
    is_email_in_progress: bool,
}

fn to_submission(submission: SubmissionId) -> Response {
    Redirect::to(&page_path(submission)).into_response()
}

pub(super) async fn confirm_cancellation(
    context: PageContext,
    access: ApiResult<SubmissionAccess>,
) -> Response {
    match access.and_then(patient_only) {
        Ok(access) if access.submission.status.is_final() => to_submission(access.submission.id),
        Ok(access) => {
            let back = page_path(access.submission.id);
            page(StatusCode::OK, &CancelTemplate { page: context, back })
        }
        Err(error) => error_page(context, error),
    }
}

pub(super) async fn cancel_submission(
    State(state): State<AppState>,
    context: PageContext,
    access: ApiResult<PatientAccess<CancelAction>>,
) -> Response {
    let access = match access {
        Ok(access) => access,
        Err(error) => return error_page(context, error),
    };
    let id = access.submission;
    match cancel(&state, id, access.audit_entry(&state)).await {
        // The page shows a result that was ready before the cancellation.
        Ok(_) | Err(ApiError::AlreadyFinal) => to_submission(id),
        Err(error) => error_page(context, error),
    }
}

pub(super) async fn confirm_deletion(
    context: PageContext,
    access: ApiResult<SubmissionAccess>,
) -> Response {
    match access.and_then(patient_only) {
        Ok(access) => {
            let template = DeleteTemplate {
                page: context,
                back: page_path(access.submission.id),
                is_final: access.submission.status.is_final(),
                is_email_in_progress: false,
            };
            page(StatusCode::OK, &template)
        }
        Err(error) => error_page(context, error),
    }
}

pub(super) async fn delete_submission(
    State(state): State<AppState>,
    context: PageContext,
    access: ApiResult<PatientAccess<EraseAction>>,
) -> Response {
    let access = match access {
        Ok(access) => access,
        Err(error) => return error_page(context, error),
    };
    let id = access.submission;
    match erase(&state, id, REASON, access.audit_entry(&state)).await {
        Ok(_) => to_submission(id),
        Err(ApiError::EmailInProgress { seconds }) => email_in_progress(context, id, seconds),
        Err(error) => error_page(context, error),
    }
}

fn email_in_progress(context: PageContext, id: SubmissionId, seconds: u64) -> Response {
    let status = ApiError::EmailInProgress { seconds }.into_response().status();
    let template = DeleteTemplate {
        page: context,
        back: page_path(id),
        // An e-mail is sent only after the submission has ended.
        is_final: true,
        is_email_in_progress: true,
    };
    let mut response = page(status, &template);
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

/// Cancelling and deleting need the submission's access token, as in the API.
fn patient_only(access: SubmissionAccess) -> ApiResult<SubmissionAccess> {
    if access.is_patient() { Ok(access) } else { Err(ApiError::NotFound) }
}
