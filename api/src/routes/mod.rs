//! Every route there is, in one list.

pub(crate) mod accounts;
mod auth;
mod loopai;
mod operation;
pub(crate) mod patient;
mod staff;
pub(crate) mod table;

use self::loopai::{file as loopai_file, webhook};
use self::operation::{health, home, metrics, ready, version};
use self::patient::{events, my_submissions, status, submit};
use crate::app::AppState;
use crate::auth::guard::guarded;
use crate::auth::permissions::Permission;
use crate::error::{ApiError, ApiResult};
use crate::layers::limiters::RateLimitClass;
use crate::layers::rate_limit::rate_limited;
use crate::layers::time_limit::limit_time;
use crate::openapi::Document;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use diagflow_store::NewAuditEntry;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

/// The routes with their part of the documentation. Each handler's attribute names its path.
pub(crate) fn all(state: &AppState) -> OpenApiRouter<AppState> {
    let settings = &state.app.settings;
    let asks = from_fn_with_state(settings.request_timeout, limit_time);
    let body = DefaultBodyLimit::max(settings.max_body());
    let limit = DefaultBodyLimit::max(webhook::MAX_CALLBACK_BYTES);

    OpenApiRouter::with_openapi(Document::openapi())
        // Limits its own time: what may take long is the upload, and only that.
        .routes(rate_limited(state, RateLimitClass::Submit, routes!(submit::submit)).layer(body))
        .routes(
            rate_limited(state, RateLimitClass::Read, routes!(status::status)).layer(asks.clone()),
        )
        .routes(
            rate_limited(state, RateLimitClass::Read, routes!(events::events)).layer(asks.clone()),
        )
        .routes(
            rate_limited(state, RateLimitClass::Read, routes!(loopai_file::file))
                .layer(asks.clone()),
        )
        .merge(accounts(state).layer(asks.clone()))
        .routes(
            rate_limited(state, RateLimitClass::Webhook, routes!(webhook::loopai_callback))
                .layer(limit)
                .layer(asks.clone()),
        )
        .merge(staff_reads(state).layer(asks.clone()))
        .merge(staff_actions(state).layer(asks.clone()))
        .merge(operation(state).layer(asks.clone()))
        .routes(
            rate_limited(state, RateLimitClass::Health, routes!(version::version))
                .layer(asks.clone()),
        )
        .routes(rate_limited(state, RateLimitClass::Health, routes!(home::home)).layer(asks))
}

/// How the service stands. Each question may be one to the database.
fn operation(state: &AppState) -> OpenApiRouter<AppState> {
    let health = |routes| rate_limited(state, RateLimitClass::Health, routes);
    OpenApiRouter::new()
        .routes(health(routes!(health::health)))
        .routes(health(routes!(health::database)))
        .routes(health(routes!(ready::ready)))
        .routes(health(routes!(metrics::metrics)))
}

/// Writes down that what a caller asked for was refused, and passes the refusal on.
async fn refused<T>(state: &AppState, entry: NewAuditEntry, refusal: ApiError) -> ApiResult<T> {
    state.app.store.append_audit_entry(&entry.refused(refusal.code())).await?;
    Err(refusal)
}

/// Sign-in, one's own account, and those of others.
fn accounts(state: &AppState) -> OpenApiRouter<AppState> {
    use self::accounts::{create, keys, list, sessions, update};
    use self::auth::{password, refresh, sessions as own_sessions, sign_in, sign_out, validate};
    use Permission::{AccountSelf, UsersRead, UsersWrite};
    let own_account = |routes| guarded(state, AccountSelf, routes);
    let reads = |routes| guarded(state, UsersRead, routes);
    let writes = |routes| guarded(state, UsersWrite, routes);
    OpenApiRouter::new()
        .routes(rate_limited(state, RateLimitClass::SignIn, routes!(sign_in::sign_in)))
        .routes(rate_limited(state, RateLimitClass::SignIn, routes!(refresh::refresh_session)))
        .routes(own_account(routes!(sign_out::sign_out)))
        .routes(own_account(routes!(validate::validate_session)))
        .routes(own_account(routes!(password::change_password)))
        .routes(own_account(routes!(
            own_sessions::list_own_sessions,
            own_sessions::end_own_other_sessions
        )))
        .routes(own_account(routes!(own_sessions::end_own_session)))
        .routes(reads(routes!(list::list_users)))
        .routes(reads(routes!(list::read_user)))
        .routes(writes(routes!(create::create_user)))
        .routes(writes(routes!(update::update_user, update::disable_user)))
        .routes(reads(routes!(sessions::list_user_sessions)))
        .routes(writes(routes!(sessions::end_user_sessions)))
        .routes(writes(routes!(sessions::end_user_session)))
        .routes(reads(routes!(keys::list_user_keys)))
        .routes(writes(routes!(keys::create_user_key)))
        .routes(writes(routes!(keys::revoke_user_key)))
}

/// What staff do to runs and e-mails.
fn staff_actions(state: &AppState) -> OpenApiRouter<AppState> {
    use self::staff::{bulk_retry, cancel, history, resend, retry};
    use Permission::{DeliveriesResend, HistoryRead, SubmissionsCancel, SubmissionsRetry};
    OpenApiRouter::new()
        .routes(guarded(state, SubmissionsCancel, routes!(cancel::cancel_submission)))
        .routes(guarded(state, SubmissionsRetry, routes!(retry::retry_submission)))
        .routes(guarded(state, SubmissionsRetry, routes!(bulk_retry::retry_submissions)))
        .routes(guarded(state, DeliveriesResend, routes!(resend::resend_delivery)))
        .routes(guarded(state, HistoryRead, routes!(history::read_history)))
        .routes(guarded(state, HistoryRead, routes!(history::read_raw_history)))
}

/// What staff see of submissions, and senders of their own.
fn staff_reads(state: &AppState) -> OpenApiRouter<AppState> {
    use self::staff::{all_events, audit, deletion, detail, export, file, list};
    use Permission::{
        AuditRead, ClinicalRead, SubmissionsDelete, SubmissionsExport, SubmissionsRead,
        SubmissionsReadOwn,
    };
    OpenApiRouter::new()
        .routes(guarded(state, SubmissionsReadOwn, routes!(my_submissions::list_own_submissions)))
        .routes(guarded(state, SubmissionsRead, routes!(list::list_submissions)))
        .routes(guarded(state, SubmissionsExport, routes!(export::export_submissions)))
        .routes(guarded(state, SubmissionsRead, routes!(detail::read_submission)))
        .routes(guarded(state, SubmissionsDelete, routes!(deletion::delete_submission)))
        .routes(guarded(state, SubmissionsDelete, routes!(deletion::restore_submission)))
        .routes(guarded(state, ClinicalRead, routes!(file::read_file)))
        .routes(guarded(state, SubmissionsRead, routes!(all_events::follow_submissions)))
        .routes(guarded(state, AuditRead, routes!(audit::list_audit_entries)))
}
