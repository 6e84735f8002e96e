//! `GET /api/admin/submissions/{id}`: everything about one submission.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::response::ErrorBody;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::extract::time_format::rfc3339;
use crate::routes::refused;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use diagflow_store::{
    Action, Delivery, DeliveryId, Event, File, FileId, ObjectKind, Run, Store, Submission,
    SubmissionId, UserId,
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Tells everything about a submission, also about a deleted one.
///
/// What is medical (comments, result, LoopAI's words, names and addresses of the files) only to those with the permission
/// `clinical:read`; `clinical` says whether it is there.
#[utoipa::path(
    get,
    path = "/api/admin/submissions/{id}",
    tag = "staff",
    params(("id" = String, Path, description = "The submission.", format = "uuid")),
    responses(
        (status = 200, description = "The submission.", body = DetailBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(crate) async fn read_submission(
    PathId(id): PathId<SubmissionId>,
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<DetailBody>)> {
    let store = &state.app.store;
    let clinical = caller.has_permission(Permission::ClinicalRead);
    let entry = caller.audit_entry(Action::SubmissionView, ObjectKind::Submission, id);
    let Some(submission) = store.submission(id).await? else {
        return refused(&state, entry, ApiError::NotFound).await;
    };
    let body = DetailBody { success: true, data: Detail::read(store, submission, clinical).await? };
    store.append_audit_entry(&entry.with("clinical", clinical)).await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
}

/// The answer about a submission.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetailBody {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The submission.
    data: Detail,
}

/// A submission with all that belongs to it.
#[derive(Debug, Serialize, ToSchema)]
struct Detail {
    /// Names it.
    #[schema(value_type = String, format = "uuid")]
    id: SubmissionId,
    /// The patient's address.
    #[schema(example = "ana@example.org")]
    email: String,
    /// `pending`, `processing`, `completed`, `failed`, `timed_out` or `cancelled`.
    #[schema(example = "failed")]
    status: &'static str,
    /// Version of the consent text that was agreed to.
    #[schema(example = "2026-11")]
    consent_version: String,
    /// When consent was given (UTC).
    #[schema(format = "date-time")]
    consent_at: String,
    /// Why it failed, as a stable code.
    error_code: Option<String>,
    /// Why it failed, in LoopAI's words, which may tell of the images. Medical.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_detail: Option<String>,
    /// When it was received (UTC).
    #[schema(format = "date-time")]
    created_at: String,
    /// When anything about it changed last (UTC).
    #[schema(format = "date-time")]
    updated_at: String,
    /// When it ended (UTC).
    #[schema(format = "date-time")]
    finished_at: Option<String>,
    /// The account that sent it.
    #[schema(value_type = Option<String>, format = "uuid")]
    submitted_by: Option<UserId>,
    /// When staff deleted it (UTC).
    #[schema(format = "date-time")]
    deleted_at: Option<String>,
    /// Whether what is medical is here too.
    clinical: bool,
    /// What the patient wrote. Medical.
    #[serde(skip_serializing_if = "Option::is_none")]
    comments: Option<String>,
    /// The newest result. Medical.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    result: Option<Map<String, Value>>,
    /// Its images, in the order in which they were sent.
    files: Vec<FileBody>,
    /// Its story, oldest first.
    events: Vec<TimelineEventBody>,
    /// Its runs, oldest first.
    runs: Vec<RunBody>,
    /// The e-mails that were owed for it, oldest first.
    deliveries: Vec<DeliveryBody>,
}

/// An image.
#[derive(Debug, Serialize, ToSchema)]
struct FileBody {
    /// Names it.
    #[schema(value_type = String, format = "uuid")]
    id: FileId,
    /// Place within the submission, from 1.
    position: i32,
    /// What it is.
    #[schema(example = "image/jpeg")]
    media_type: String,
    /// Bytes.
    size: i64,
    /// SHA-256 of its bytes.
    sha256: String,
    /// The name that the patient's device gave it. Medical: people put words there.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Where to read it. Medical.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// One entry of the story.
#[derive(Debug, Serialize, ToSchema)]
struct TimelineEventBody {
    /// Place in the story, from 1.
    number: i32,
    /// Its name on the wire.
    #[schema(example = "status_update")]
    name: String,
    /// What happened.
    #[schema(example = "diagnosing")]
    step: &'static str,
    /// Where the submission stood then.
    #[schema(example = "processing")]
    status: &'static str,
    /// What the patient reads.
    message: String,
    /// When it happened (UTC).
    #[schema(format = "date-time")]
    at: String,
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
struct RunBody {
    /// Number within the submission, from 1.
    number: i32,
    /// Temporal's name for it; none while it waits to be started.
    temporal_run_id: Option<String>,
    /// LoopAI's name for what it runs for us.
    execution_id: Option<String>,
    /// When it was queued (UTC).
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was started (UTC).
    #[schema(format = "date-time")]
    started_at: Option<String>,
    /// When LoopAI took it (UTC).
    #[schema(format = "date-time")]
    requested_at: Option<String>,
    /// When it ended (UTC).
    #[schema(format = "date-time")]
    finished_at: Option<String>,
}

/// An e-mail that was owed.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveryBody {
    /// Names it.
    #[schema(value_type = String, format = "uuid")]
    id: DeliveryId,
    /// The run that gave the reason.
    run: i32,
    /// What it tells: `result`, `failed`, `timed_out` or `cancelled`.
    #[schema(example = "result")]
    kind: String,
    /// `planned`, `sending`, `sent`, `unknown` or `failed`.
    #[schema(example = "sent")]
    status: String,
    /// How often sending it was tried.
    attempts: i32,
    /// Why the last attempt failed, as a stable code.
    error_code: Option<String>,
    /// Why the last attempt failed, for staff.
    error_detail: Option<String>,
    /// When it was planned (UTC).
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was sent, given up, or became unknown (UTC).
    #[schema(format = "date-time")]
    settled_at: Option<String>,
}

impl Detail {
    async fn read(store: &Store, submission: Submission, clinical: bool) -> ApiResult<Self> {
        let id = submission.id;
        let result = if clinical { store.result(id).await? } else { None };
        let files = store.files(id).await?;
        let events = store.events(id, 0).await?;
        let (runs, deliveries) = (store.runs(id).await?, store.deliveries(id).await?);
        Ok(Self {
            id,
            email: submission.email.as_str().to_owned(),
            status: submission.status.name(),
            consent_version: submission.consent_version,
            consent_at: rfc3339(submission.consent_at),
            error_code: submission.error_code,
            error_detail: submission.error_detail.filter(|_| clinical),
            created_at: rfc3339(submission.created_at),
            updated_at: rfc3339(submission.updated_at),
            finished_at: submission.finished_at.map(rfc3339),
            submitted_by: submission.submitted_by,
            deleted_at: submission.deleted_at.map(rfc3339),
            clinical,
            comments: clinical.then_some(submission.comments),
            result: result.map(|result| result.object().clone()),
            files: files.into_iter().map(|file| FileBody::of(file, clinical)).collect(),
            events: events.into_iter().map(TimelineEventBody::from).collect(),
            runs: runs.into_iter().map(RunBody::from).collect(),
            deliveries: deliveries.into_iter().map(DeliveryBody::from).collect(),
        })
    }
}

impl FileBody {
    fn of(file: File, clinical: bool) -> Self {
        Self {
            id: file.id,
            position: file.position,
            media_type: file.media_type,
            size: file.size,
            sha256: file.sha256.to_string(),
            name: clinical.then_some(file.name),
            url: clinical.then(|| crate::routes::staff::file::path(file.id)),
        }
    }
}

impl From<Event> for TimelineEventBody {
    fn from(event: Event) -> Self {
        Self {
            number: event.number,
            name: event.name.to_string(),
            step: event.step.name(),
            status: event.status.name(),
            message: event.message,
            at: rfc3339(event.created_at),
        }
    }
}

impl From<Run> for RunBody {
    fn from(run: Run) -> Self {
        Self {
            number: run.number,
            temporal_run_id: run.temporal_run_id,
            execution_id: run.loopai_execution_id,
            created_at: rfc3339(run.created_at),
            started_at: run.started_at.map(rfc3339),
            requested_at: run.requested_at.map(rfc3339),
            finished_at: run.finished_at.map(rfc3339),
        }
    }
}

impl From<Delivery> for DeliveryBody {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            run: delivery.run_number,
            kind: delivery.kind.to_string(),
            status: delivery.status.to_string(),
            attempts: delivery.attempts,
            error_code: delivery.error_code,
            error_detail: delivery.error_detail,
            created_at: rfc3339(delivery.created_at),
            settled_at: delivery.settled_at.map(rfc3339),
        }
    }
}
