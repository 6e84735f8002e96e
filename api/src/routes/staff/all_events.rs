use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::auth::watch::AccessWatch;
use crate::error::ApiResult;
use crate::events::all_events::{AllEvents, all_events};
use crate::events::wire;
use crate::extract::last_event_id::LastEventId;
use crate::openapi::streams::SubmissionListEvent;
use axum::extract::State;
use axum::response::Response;
use diagflow_store::{Action, ObjectKind};

/// Follow all submissions
///
/// Returns server-sent events named `submission_changed`, whose `data` is a `SubmissionChangedEvent` as JSON. A client that reconnects with
/// `Last-Event-ID` receives every change that it missed; some changes may be repeated. A client that missed more than
/// 10,000 changes receives `list_changed` instead and must reload its list. Comment lines are heartbeats. The stream
/// ends within two seconds after the session ends, the account is disabled, or its role loses the permission.
#[utoipa::path(
    get,
    path = "/api/admin/events",
    tag = "staff",
    responses(
        (status = 200, description = "The stream.", content_type = "text/event-stream", body = SubmissionListEvent),
    ),
)]
pub(crate) async fn follow_submissions(
    State(state): State<AppState>,
    caller: Caller,
    last: LastEventId,
) -> ApiResult<Response> {
    let entry = caller.audit_entry(Action::SubmissionsFollow, ObjectKind::Service, "");
    state.app.store.append_audit_entry(&entry).await?;
    let heartbeat = state.app.settings.events_heartbeat;
    let watch = AccessWatch::while_permitted(&state, &caller, Permission::SubmissionsRead);
    let stream = all_events(AllEvents {
        store: state.app.store.clone(),
        hub: state.hub.clone(),
        last,
        heartbeat,
    });
    Ok(wire::response(stream, heartbeat, watch))
}
