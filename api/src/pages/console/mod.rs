//! The pages for staff: the console at `/admin`.

mod account;
mod audit;
pub(crate) mod context;
mod device;
mod errors;
mod guard;
mod numbers;
mod overview;
mod service;
mod sign_in;
mod styleguide;
mod submission;
mod submissions;
mod users;

use crate::app::AppState;
use crate::auth::permissions::Permission;
use crate::layers::limiters::RateLimitClass;
use crate::layers::rate_limit::rate_limited_router;
use crate::layers::time_limit::limit_time;
use crate::pages::console::guard::guarded_page;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;

pub(super) fn pages(state: &AppState) -> Router<AppState> {
    let public = Router::new().route("/login", get(sign_in::read_sign_in_page));
    rate_limited_router(state, RateLimitClass::Read, public)
        .merge(guarded(state))
        .merge(for_developers(state))
        .layer(from_fn_with_state(state.app.settings.request_timeout, limit_time))
        .layer(from_fn(errors::errors_as_pages))
}

fn guarded(state: &AppState) -> Router<AppState> {
    use Permission::{
        AccountSelf, AuditRead, ServiceRead, SettingsRead, SubmissionsRead, UsersRead, UsersWrite,
    };
    let page = |permission, handler| guarded_page(state, permission, handler);
    Router::new()
        .route("/account", page(AccountSelf, get(account::read_account_page)))
        .route("/admin", page(SubmissionsRead, get(submissions::read_submissions)))
        .route("/admin/submissions/{id}", page(SubmissionsRead, get(submission::read_submission)))
        .route("/admin/overview", page(SubmissionsRead, get(overview::read_overview_page)))
        .route("/admin/users", page(UsersRead, get(users::read_users)))
        .route("/admin/users/new", page(UsersWrite, get(users::read_new_user)))
        .route("/admin/users/{id}", page(UsersRead, get(users::read_user)))
        .route("/admin/audit", page(AuditRead, get(audit::search_audit_log)))
        .route("/admin/settings", page(SettingsRead, get(service::read_settings)))
        .route("/admin/health", page(ServiceRead, get(service::read_health)))
}

fn for_developers(state: &AppState) -> Router<AppState> {
    if !state.app.settings.is_development {
        return Router::new();
    }
    Router::new().route("/admin/styleguide", get(styleguide::read_styleguide))
}
