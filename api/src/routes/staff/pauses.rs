use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::extract::body::Body;
use crate::extract::path_id::PathId;
use crate::extract::reason::Reason;
use crate::openapi::error_responses::errors;
use crate::openapi::names::ServicePart;
use axum::Json;
use axum::extract::State;
use diagflow_store::{Action, ObjectKind, Pause, PauseTarget, Store, StoreResult, UserId, UtcTime};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether a part of the service is paused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PauseBody {
    /// Part of the service.
    pub(crate) target: ServicePart,
    /// Whether the part is paused.
    pub(crate) paused: bool,
    /// Reason for the pause.
    #[schema(required)]
    pub(crate) reason: Option<String>,
    /// Account that paused the part.
    #[schema(required)]
    pub(crate) paused_by: Option<PausedBy>,
    /// Start of the pause.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) paused_at: Option<UtcTime>,
}

/// Account that paused a part of the service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PausedBy {
    /// Id of the account.
    #[schema(required, value_type = Option<String>, format = "uuid")]
    pub(crate) id: Option<UserId>,
    /// E-mail address of the account at the time of the pause.
    #[schema(example = "operator@example.org")]
    pub(crate) email: String,
}

/// The parts of the service that can be paused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PausesBody {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// One entry for each part, whether or not it is paused.
    data: Vec<PauseBody>,
}

/// List pauses
#[utoipa::path(
    get,
    path = "/api/admin/pauses",
    tag = "staff",
    responses((status = 200, description = "The parts of the service that can be paused.", body = PausesBody)),
)]
pub(crate) async fn list_pauses(State(store): State<Store>) -> ApiResult<Json<PausesBody>> {
    let data = PauseBody::read_all(&store).await?;
    Ok(Json(PausesBody { success: true, data }))
}

/// A pause, or the end of a pause.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseRequest {
    /// Whether to pause the part or to resume it.
    #[schema(example = true)]
    paused: bool,
    /// Reason, 1 to 500 characters. Other staff can read the reason, and it is stored in the audit log, so do not include
    /// medical information.
    #[schema(value_type = String, example = "LoopAI is being updated", min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// The result of a pause or of its end.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PauseResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Whether this request changed the value of `paused`. If `false`, `pause` shows who paused the part earlier.
    changed: bool,
    /// The part after this request.
    pause: PauseBody,
}

errors!(SetPauseErrors: ReasonRequired);

/// Pause or resume a part of the service
///
/// While `loopai_requests` is paused, no diagnosis is requested from LoopAI and no execution is polled. Requests in
/// progress are finished. Submissions are still accepted and wait, and patients see that diagnoses are paused. A pause
/// does not extend the deadlines of submissions that LoopAI has not accepted yet: they time out with the code
/// `loopai_paused`. While `emails` is paused, e-mails stay `planned`. After the end of a pause, everything that waits
/// continues within a minute. Repeating the request has no further effect.
#[utoipa::path(
    put,
    path = "/api/admin/pauses/{target}",
    tag = "staff",
    responses((status = 200, description = "The part has been paused or resumed.", body = PauseResponse), SetPauseErrors),
)]
pub(crate) async fn set_pause(
    State(store): State<Store>,
    caller: Caller,
    PathId(target): PathId<PauseTarget>,
    Body(request): Body<PauseRequest>,
) -> ApiResult<Json<PauseResponse>> {
    let Reason(reason) = Reason::parse(request.reason)?;
    let action = if request.paused { Action::ServicePause } else { Action::ServiceResume };
    let entry = caller.audit_entry(action, ObjectKind::Service, "");
    let entry = entry.with("target", target.name()).with("reason", reason.as_str());
    let changed = match request.paused {
        true => store.pause(target, &reason, &entry).await?,
        false => store.resume(target, &entry).await?,
    };
    if changed {
        tracing::warn!(part = %target, paused = request.paused, "staff paused or resumed a part of the service");
    }
    let pauses = store.pauses().await?;
    let pause = PauseBody::of(target, pauses.into_iter().find(|pause| pause.target == target));
    Ok(Json(PauseResponse { success: true, changed, pause }))
}

impl PauseBody {
    pub(crate) async fn read_all(store: &Store) -> StoreResult<Vec<Self>> {
        let pauses = store.pauses().await?;
        let pause = |target| pauses.iter().find(|pause| pause.target == target).cloned();
        Ok(PauseTarget::ALL.iter().map(|target| Self::of(*target, pause(*target))).collect())
    }

    fn of(target: PauseTarget, pause: Option<Pause>) -> Self {
        let (paused, target) = (pause.is_some(), target.into());
        let Some(pause) = pause else {
            return Self { target, paused, reason: None, paused_by: None, paused_at: None };
        };
        let paused_by = PausedBy { id: pause.paused_by, email: pause.paused_by_name };
        Self {
            target,
            paused,
            reason: Some(pause.reason),
            paused_by: Some(paused_by),
            paused_at: Some(pause.paused_at),
        }
    }
}
