//! Every route there is, in one list.

mod admin;
mod audit;
mod auth;
mod events;
mod files;
mod health;
mod home;
mod loopai;
mod metrics;
mod moves;
mod own;
mod patience;
mod ready;
mod sessions;
mod status;
mod submit;
mod users;
mod version;

use crate::app::AppState;
use crate::auth::{Permission, guarded};
use crate::error::{ApiError, ApiResult};
use crate::layers::{Counted, limit_time, limited};
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
    let call_back = DefaultBodyLimit::max(loopai::LARGEST_CALL_BACK);

    OpenApiRouter::with_openapi(Document::openapi())
        // Limits its own time: what may take long is the upload, and only that.
        .routes(limited(state, Counted::Submit, routes!(submit::submit)).layer(body))
        .routes(limited(state, Counted::Read, routes!(status::status)).layer(asks.clone()))
        .routes(limited(state, Counted::Read, routes!(events::events)).layer(asks.clone()))
        .routes(limited(state, Counted::Read, routes!(files::file)).layer(asks.clone()))
        .merge(accounts(state).layer(asks.clone()))
        .routes(
            limited(state, Counted::Hook, routes!(loopai::called_back))
                .layer(call_back)
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
    use Permission::{AccountSelf, UsersRead, UsersWrite};
    use auth::{password, refresh, sessions as own, sign_in, sign_out, validate};
    use users::{keys, list, sessions, write};
    let own_account = |routes| guarded(state, AccountSelf, routes);
    let reads = |routes| guarded(state, UsersRead, routes);
    let writes = |routes| guarded(state, UsersWrite, routes);
    OpenApiRouter::new()
        .routes(limited(state, Counted::SignIn, routes!(sign_in::sign_in)))
        .routes(limited(state, Counted::SignIn, routes!(refresh::refresh)))
        .routes(own_account(routes!(sign_out::sign_out)))
        .routes(own_account(routes!(validate::validate)))
        .routes(own_account(routes!(password::change)))
        .routes(own_account(routes!(own::list, own::end_others)))
        .routes(own_account(routes!(own::end)))
        .routes(reads(routes!(list::list)))
        .routes(reads(routes!(list::read)))
        .routes(writes(routes!(write::create)))
        .routes(writes(routes!(write::update, write::disable)))
        .routes(reads(routes!(sessions::list)))
        .routes(writes(routes!(sessions::end_all)))
        .routes(writes(routes!(sessions::end)))
        .routes(reads(routes!(keys::list)))
        .routes(writes(routes!(keys::create)))
        .routes(writes(routes!(keys::revoke)))
}

/// What staff do to runs and e-mails.
fn moves_of_staff(state: &AppState) -> OpenApiRouter<AppState> {
    use Permission::{DeliveriesResend, HistoryRead, SubmissionsCancel, SubmissionsRetry};
    use moves::{cancel, history, resend, retry, retry_all};
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
    use Permission::{
        AuditRead, ClinicalRead, SubmissionsDelete, SubmissionsExport, SubmissionsRead,
        SubmissionsReadOwn,
    };
    use admin::{deletion, detail, export, file, list, live};
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
