//! `GET /api/admin/events`: follows all submissions live, for the list.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::auth::watch::Watch;
use crate::error::ApiResult;
use crate::events::live::{Live, live};
use crate::header_names::LAST_EVENT_ID;
use crate::routes::patient::events::FLOWING;
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
    operation_id = "follow_submissions",
    params(("Last-Event-ID" = Option<String>, Header,
        description = "The last event that was received. One that was never given out counts as none.")),
    responses(
        (status = 200, description = "The stream.", content_type = "text/event-stream", body = String),
    ),
)]
pub(crate) async fn events(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let line = caller.did(Action::SubmissionsFollow, ObjectKind::Service, "");
    state.app.store.audit(&line).await?;
    let stream = live(Live {
        store: state.app.store.clone(),
        hub: state.hub.clone(),
        last: last.and_then(|text| text.trim().parse().ok()),
        heartbeat: state.app.settings.events_heartbeat,
        watch: Watch::of(&state, &caller, Permission::SubmissionsRead),
    });
    Ok((FLOWING, Sse::new(stream)).into_response())
}
