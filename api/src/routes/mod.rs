pub(crate) mod accounts;
pub(crate) mod auth;
pub(crate) mod cancellation;
pub(crate) mod erasure;
mod image;
mod loopai;
pub(crate) mod operation;
pub(crate) mod patient;
pub(crate) mod staff;
pub(crate) mod table;

use self::loopai::{file as loopai_file, webhook};
use self::operation::{health, metrics, ready, version};
use self::patient::{cancel, erase, events, file, my_submissions, status, submit};
use crate::app::AppState;
use crate::auth::guard::{guarded, guarded_stream};
use crate::auth::permissions::Permission;
use crate::layers::event_source::reconnecting;
use crate::layers::limiters::RateLimitClass;
use crate::layers::rate_limit::rate_limited;
use crate::layers::time_limit::{limit_time, time_limited};
use crate::openapi::Document;
use crate::openapi::route::route;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};

/// Returns all routes with their documentation. Each route's path is in the `utoipa::path` attribute of its handler.
pub(crate) fn all(state: &AppState) -> OpenApiRouter<AppState> {
    let settings = &state.app.settings;
    let api = OpenApiRouter::new()
        .merge(submissions(state))
        .merge(loopai(state))
        .merge(accounts(state))
        .merge(staff_reads(state))
        .merge(service_state(state))
        .merge(staff_actions(state));
    // Uploads have their own time limit.
    let upload =
        rate_limited(state, RateLimitClass::SubmitAttempt, route!(submit::create_submission))
            .layer(DefaultBodyLimit::max(settings.max_body()));
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(upload)
        .merge(time_limited(settings.request_timeout, api))
        .merge(operation(state).layer(from_fn_with_state(settings.request_timeout, limit_time)))
}

fn submissions(state: &AppState) -> OpenApiRouter<AppState> {
    let read = |routes| rate_limited(state, RateLimitClass::Read, routes);
    OpenApiRouter::new()
        .routes(read(route!(status::read_submission_status)))
        .routes(reconnecting(read(route!(events::follow_submission))))
        .routes(read(route!(file::read_own_file)))
        .routes(rate_limited(state, RateLimitClass::Cancel, route!(cancel::cancel_own_submission)))
        .routes(rate_limited(state, RateLimitClass::Cancel, route!(erase::erase_own_submission)))
}

fn loopai(state: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(rate_limited(state, RateLimitClass::Read, route!(loopai_file::read_signed_file)))
        .routes(rate_limited(
            state,
            RateLimitClass::Webhook,
            route!(webhook::report_execution_change),
        ))
}

/// These routes are rate-limited because each request may query the database.
fn operation(state: &AppState) -> OpenApiRouter<AppState> {
    let health = |routes| rate_limited(state, RateLimitClass::Health, routes);
    OpenApiRouter::new()
        .routes(health(route!(health::read_health)))
        .routes(health(route!(health::read_database_health)))
        .routes(health(route!(ready::read_readiness)))
        .routes(health(route!(metrics::read_metrics)))
        .routes(health(route!(version::read_version)))
}

fn accounts(state: &AppState) -> OpenApiRouter<AppState> {
    use self::accounts::{create, keys, list, sessions, update};
    use self::auth::{
        console_sign_in, password, refresh, sessions as own_sessions, sign_in, sign_out, validate,
    };
    use Permission::{AccountSelf, UsersRead, UsersWrite};
    let own_account = |routes| guarded(state, AccountSelf, routes);
    let reads = |routes| guarded(state, UsersRead, routes);
    let writes = |routes| guarded(state, UsersWrite, routes);
    OpenApiRouter::new()
        .routes(rate_limited(state, RateLimitClass::SignIn, route!(sign_in::sign_in)))
        .routes(rate_limited(
            state,
            RateLimitClass::SignIn,
            route!(console_sign_in::sign_in_from_console),
        ))
        .routes(rate_limited(state, RateLimitClass::SignIn, route!(refresh::refresh_session)))
        .routes(own_account(route!(sign_out::sign_out)))
        .routes(own_account(route!(validate::read_session)))
        .routes(own_account(route!(password::change_password)))
        .routes(own_account(route!(own_sessions::list_own_sessions)))
        .routes(own_account(route!(own_sessions::end_own_other_sessions)))
        .routes(own_account(route!(own_sessions::end_own_session)))
        .routes(reads(route!(list::list_users)))
        .routes(reads(route!(list::read_user)))
        .routes(writes(route!(create::create_user)))
        .routes(writes(route!(update::update_user)))
        .routes(writes(route!(update::disable_user)))
        .routes(reads(route!(sessions::list_user_sessions)))
        .routes(writes(route!(sessions::end_user_sessions)))
        .routes(writes(route!(sessions::end_user_session)))
        .routes(reads(route!(keys::list_user_keys)))
        .routes(writes(route!(keys::create_user_key)))
        .routes(writes(route!(keys::revoke_user_key)))
}

fn staff_actions(state: &AppState) -> OpenApiRouter<AppState> {
    use self::staff::{bulk_actions, cancel, history, pauses, resend, retry, revoke_token, update};
    use Permission::{
        DeliveriesResend, HistoryRead, ServicePause, SubmissionsCancel, SubmissionsRetry,
        SubmissionsUpdate,
    };
    OpenApiRouter::new()
        .routes(guarded(state, SubmissionsCancel, route!(cancel::cancel_submission)))
        .routes(guarded(state, SubmissionsCancel, route!(bulk_actions::cancel_submissions)))
        .routes(guarded(state, SubmissionsRetry, route!(retry::retry_submission)))
        .routes(guarded(state, SubmissionsRetry, route!(bulk_actions::retry_submissions)))
        .routes(guarded(state, SubmissionsUpdate, route!(update::update_submission)))
        .routes(guarded(state, SubmissionsUpdate, route!(revoke_token::revoke_submission_token)))
        .routes(guarded(state, DeliveriesResend, route!(resend::resend_delivery)))
        .routes(guarded(state, DeliveriesResend, route!(bulk_actions::resend_emails)))
        .routes(guarded(state, ServicePause, route!(pauses::set_pause)))
        .routes(guarded(state, HistoryRead, route!(history::read_history)))
        .routes(guarded(state, HistoryRead, route!(history::read_raw_history)))
}

fn staff_reads(state: &AppState) -> OpenApiRouter<AppState> {
    use self::staff::{all_events, audit, deletion, detail, erase, export, file, list, reveal};
    use Permission::{
        AuditRead, ClinicalRead, SubmissionsDelete, SubmissionsErase, SubmissionsExport,
        SubmissionsRead, SubmissionsReadOwn,
    };
    OpenApiRouter::new()
        .routes(guarded(state, SubmissionsReadOwn, route!(my_submissions::list_own_submissions)))
        .routes(guarded(state, SubmissionsRead, route!(list::list_submissions)))
        .routes(guarded(state, SubmissionsExport, route!(export::export_submissions)))
        .routes(guarded(state, SubmissionsRead, route!(detail::read_submission)))
        .routes(guarded(state, SubmissionsRead, route!(reveal::reveal_submission)))
        .routes(guarded(state, SubmissionsDelete, route!(deletion::delete_submission)))
        .routes(guarded(state, SubmissionsDelete, route!(deletion::restore_submission)))
        .routes(guarded(state, SubmissionsErase, route!(erase::erase_submission)))
        .routes(guarded(state, ClinicalRead, route!(file::read_file)))
        .routes(reconnecting(guarded_stream(
            state,
            SubmissionsRead,
            route!(all_events::follow_submissions),
        )))
        .routes(guarded(state, AuditRead, route!(audit::list_audit_entries)))
}

fn service_state(state: &AppState) -> OpenApiRouter<AppState> {
    use self::staff::{health, overview, pauses, settings};
    use Permission::{ServiceRead, SettingsRead, SubmissionsRead};
    OpenApiRouter::new()
        .routes(guarded(state, SubmissionsRead, route!(overview::read_overview)))
        .routes(guarded(state, SubmissionsRead, route!(pauses::list_pauses)))
        .routes(guarded(state, ServiceRead, route!(health::read_dependencies)))
        .routes(guarded(state, SettingsRead, route!(settings::list_settings)))
}

#[cfg(test)]
mod tests {
    use crate::extract::query::{FromParameters, Parameters};
    use crate::routes::accounts::list::UserSearch;
    use crate::routes::staff::audit::AuditSearch;
    use crate::routes::staff::export::ExportRequest;
    use crate::routes::staff::list::ListRequest;
    use std::any::type_name;

    fn assert_parameters_documented<T: FromParameters>() {
        let mut parameters = Parameters::default();
        T::from_parameters(&mut parameters);
        let mut read = parameters.taken;
        read.sort_unstable();
        let mut documented: Vec<_> = T::parameters().into_iter().map(|it| it.name).collect();
        documented.sort_unstable();
        assert_eq!(documented, read, "{}", type_name::<T>());
    }

    #[test]
    fn the_documented_parameters_match_the_parsed_parameters() {
        assert_parameters_documented::<ListRequest>();
        assert_parameters_documented::<ExportRequest>();
        assert_parameters_documented::<AuditSearch>();
        assert_parameters_documented::<UserSearch>();
    }
}
