//! Every route there is, in one list.

pub(crate) mod accounts;
mod auth;
mod loopai;
mod operation;
pub(crate) mod patient;
mod staff;
pub(crate) mod table;

use self::loopai::{call_back, files};
use self::operation::{health, home, metrics, ready, version};
use self::patient::{events, own, status, submit};
use crate::app::AppState;
use crate::auth::guard::guarded;
use crate::auth::permissions::Permission;
use crate::error::{ApiError, ApiResult};
use crate::layers::limiters::Counted;
use crate::layers::rate_limit::limited;
use crate::layers::time_limit::limit_time;
use crate::openapi::Document;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use diagflow_store::AuditEntry;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

/// The routes with their part of the documentation. Each handler's attribute names its path.
pub(crate) fn all(state: &AppState) -> OpenApiRouter<AppState> {
    let settings = &state.app.settings;
    let asks = from_fn_with_state(settings.request_time, limit_time);
    let body = DefaultBodyLimit::max(settings.max_body());
    let limit = DefaultBodyLimit::max(call_back::LARGEST_CALL_BACK);

    OpenApiRouter::with_openapi(Document::openapi())
        // Limits its own time: what may take long is the upload, and only that.
        .routes(limited(state, Counted::Submit, routes!(submit::submit)).layer(body))
        .routes(limited(state, Counted::Read, routes!(status::status)).layer(asks.clone()))
        .routes(limited(state, Counted::Read, routes!(events::events)).layer(asks.clone()))
        .routes(limited(state, Counted::Read, routes!(files::file)).layer(asks.clone()))
        .merge(accounts(state).layer(asks.clone()))
        .routes(
            limited(state, Counted::Hook, routes!(call_back::called_back))
                .layer(limit)
                .layer(asks.clone()),
        )
        .merge(list_of_submissions(state).layer(asks.clone()))
        .merge(moves_of_staff(state).layer(asks.clone()))
        .merge(operation(state).layer(asks.clone()))
        .routes(limited(state, Counted::Health, routes!(version::version)).layer(asks.clone()))
        .routes(limited(state, Counted::Health, routes!(home::home)).layer(asks))
}

/// How the service stands. Each question may be one to the database.
fn operation(state: &AppState) -> OpenApiRouter<AppState> {
    let counted = |routes| limited(state, Counted::Health, routes);
    OpenApiRouter::new()
        .routes(counted(routes!(health::health)))
        .routes(counted(routes!(health::database)))
        .routes(counted(routes!(ready::ready)))
        .routes(counted(routes!(metrics::metrics)))
}

/// Writes down that what a caller asked for was refused, and passes the refusal on.
async fn refused<T>(state: &AppState, line: AuditEntry, refusal: ApiError) -> ApiResult<T> {
    state.app.store.audit(&line.refused(refusal.code())).await?;
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
        .routes(limited(state, Counted::SignIn, routes!(sign_in::sign_in)))
        .routes(limited(state, Counted::SignIn, routes!(refresh::refresh)))
        .routes(own_account(routes!(sign_out::sign_out)))
        .routes(own_account(routes!(validate::validate)))
        .routes(own_account(routes!(password::change)))
        .routes(own_account(routes!(own_sessions::list, own_sessions::end_others)))
        .routes(own_account(routes!(own_sessions::end)))
        .routes(reads(routes!(list::list)))
        .routes(reads(routes!(list::read)))
        .routes(writes(routes!(create::create)))
        .routes(writes(routes!(update::update, update::disable)))
        .routes(reads(routes!(sessions::list)))
        .routes(writes(routes!(sessions::end_all)))
        .routes(writes(routes!(sessions::end)))
        .routes(reads(routes!(keys::list)))
        .routes(writes(routes!(keys::create)))
        .routes(writes(routes!(keys::revoke)))
}

/// What staff do to runs and e-mails.
fn moves_of_staff(state: &AppState) -> OpenApiRouter<AppState> {
    use self::staff::{cancel, history, resend, retry, retry_all};
    use Permission::{DeliveriesResend, HistoryRead, SubmissionsCancel, SubmissionsRetry};
    OpenApiRouter::new()
        .routes(guarded(state, SubmissionsCancel, routes!(cancel::cancel)))
        .routes(guarded(state, SubmissionsRetry, routes!(retry::retry)))
        .routes(guarded(state, SubmissionsRetry, routes!(retry_all::retry_all)))
        .routes(guarded(state, DeliveriesResend, routes!(resend::resend)))
        .routes(guarded(state, HistoryRead, routes!(history::history)))
        .routes(guarded(state, HistoryRead, routes!(history::raw_history)))
}

/// What staff see of submissions, and senders of their own.
fn list_of_submissions(state: &AppState) -> OpenApiRouter<AppState> {
    use self::staff::{audit, deletion, detail, export, file, list, live};
    use Permission::{
        AuditRead, ClinicalRead, SubmissionsDelete, SubmissionsExport, SubmissionsRead,
        SubmissionsReadOwn,
    };
    OpenApiRouter::new()
        .routes(guarded(state, SubmissionsReadOwn, routes!(own::own)))
        .routes(guarded(state, SubmissionsRead, routes!(list::list)))
        .routes(guarded(state, SubmissionsExport, routes!(export::export)))
        .routes(guarded(state, SubmissionsRead, routes!(detail::detail)))
        .routes(guarded(state, SubmissionsDelete, routes!(deletion::delete)))
        .routes(guarded(state, SubmissionsDelete, routes!(deletion::restore)))
        .routes(guarded(state, ClinicalRead, routes!(file::file)))
        .routes(guarded(state, SubmissionsRead, routes!(live::events)))
        .routes(guarded(state, AuditRead, routes!(audit::audit)))
}
