use crate::app::AppState;
use crate::auth::guard::StreamCaller;
use crate::auth::permissions::Permission;
use crate::auth::stream_access::{START_TIMEOUT, StreamAccess};
use crate::auth::watch::AccessWatch;
use crate::error::ApiResult;
use crate::events::all_events::{AllEvents, all_events};
use crate::events::wire;
use crate::extract::last_event_id::LastEventId;
use crate::extract::stream_client::StreamClient;
use crate::openapi::streams::SubmissionListEvent;
use axum::extract::State;
use axum::response::Response;
use diagflow_store::{Action, ObjectKind};
use tokio::time::Instant;

/// Follow all submissions
///
/// Returns server-sent events named `submission_changed`, whose `data` is a `SubmissionChangedEvent` encoded as JSON. A
/// client that reconnects with `Last-Event-ID` receives every change it missed, and may receive some changes twice. A
/// client that missed more than 10,000 changes receives `list_changed` instead and must reload its list. Comment lines
/// in the stream are heartbeats. The stream ends within two seconds after the session ends, the account is disabled, or
/// the account loses the permission. While the database is unavailable, a stream that is opened with an access token
/// contains only heartbeats, and the permission is checked once the database is available again. A client or account
/// that opens too many streams or sends too many requests receives an empty stream or a 429 response, as described for
/// `GET /api/user/events/{id}`.
#[utoipa::path(
    get,
    path = "/api/admin/events",
    tag = "staff",
    responses(
        (status = 200, description = "Event stream.", content_type = "text/event-stream", body = SubmissionListEvent),
    ),
)]
pub(crate) async fn follow_submissions(
    State(state): State<AppState>,
    client: StreamClient,
    caller: StreamCaller,
    last: LastEventId,
) -> ApiResult<Response> {
    let authorizing = state.clone();
    let authorize = move || {
        let (state, caller) = (authorizing.clone(), caller.clone());
        async move {
            let caller = caller.authorize().await?;
            let entry = caller.audit_entry(Action::SubmissionsFollow, ObjectKind::Service, "");
            state.app.store.append_audit_entry(&entry).await?;
            Ok(AccessWatch::while_permitted(&state, &caller, Permission::SubmissionsRead))
        }
    };
    let access = StreamAccess::obtain(authorize, Instant::now() + START_TIMEOUT).await?;
    let stream = all_events(AllEvents {
        store: state.app.store.clone(),
        hub: state.hub.clone(),
        last,
        heartbeat: state.app.settings.events_heartbeat,
    });
    Ok(wire::response(&state, &client, stream, access))
}
