//! `GET /api/admin/events`: follows all submissions live, for the list.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::auth::watch::AccessWatch;
use crate::error::ApiResult;
use crate::events::all_events::{AllEvents, all_events};
use crate::header_names::LAST_EVENT_ID;
use crate::routes::patient::events::STREAM_HEADERS;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::Sse;
use axum::response::{IntoResponse, Response};
use diagflow_store::{Action, ObjectKind};

/// Follows every change of every submission, as server-sent events.
///
/// Events named `submission_changed`, each with the data described as `ChangeBody`. A listener that comes
/// back with the last `id` in `Last-Event-ID` gets everything that it missed; some of what it has already
/// may be repeated. One that missed more than 10,000 changes gets `list_changed` instead: read the list anew.
/// Comments are heartbeats. The stream ends within two seconds when its session ends, the account is
/// disabled, or its role loses the permission.
#[utoipa::path(
    get,
    path = "/api/admin/events",
    tag = "staff",
    params(("Last-Event-ID" = Option<String>, Header,
        description = "The last event that was received. One that was never given out counts as none.")),
    responses(
        (status = 200, description = "The stream.", content_type = "text/event-stream", body = String),
    ),
)]
pub(crate) async fn follow_submissions(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let entry = caller.audit_entry(Action::SubmissionsFollow, ObjectKind::Service, "");
    state.app.store.append_audit_entry(&entry).await?;
    let stream = all_events(AllEvents {
        store: state.app.store.clone(),
        hub: state.hub.clone(),
        last: last.and_then(|text| text.trim().parse().ok()),
        heartbeat: state.app.settings.events_heartbeat,
        watch: AccessWatch::while_permitted(&state, &caller, Permission::SubmissionsRead),
    });
    Ok((STREAM_HEADERS, Sse::new(stream)).into_response())
}
