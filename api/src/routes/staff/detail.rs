use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::{ApiError, ApiResult};
use crate::extract::if_match::etag;
use crate::extract::path_id::PathId;
use crate::openapi::diagnosis_result::DiagnosisResult;
use crate::openapi::names::{
    EmailKind, EmailStatus, SubmissionErrorCode, SubmissionEventName, SubmissionStatus,
    SubmissionStep,
};
use crate::routes::staff::file;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use axum_extra::TypedHeader;
use axum_extra::headers::ETag;
use diagflow_store::{
    Action, Delivery, DeliveryId, Event, File, FileId, NewAuditEntry, ObjectKind, Run, Store,
    Submission, SubmissionId, UserId, UtcTime,
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Get a submission
///
/// Returns all of the submission's data. A deleted submission is returned only to callers with the `submissions:delete`
/// permission. For an erased submission, only the id, states and times remain. Medical information (comments, result,
/// LoopAI's error text, file names and paths) is included only for callers with the `clinical:read` permission, and the
/// `clinical` field shows whether it is included. The `ETag` header identifies the revision of the fields that staff
/// can edit. Send its value as `If-Match` when you update these fields.
#[utoipa::path(
    get,
    path = "/api/admin/submissions/{id}",
    tag = "staff",
    responses((
        status = 200,
        description = "The submission.",
        body = DetailBody,
        headers(("ETag" = String, description = "Revision of the fields that staff can edit.")),
    )),
)]
pub(crate) async fn read_submission(
    PathId(id): PathId<SubmissionId>,
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<(TypedHeader<ETag>, [(HeaderName, &'static str); 1], Json<DetailBody>)> {
    let (submission, data) = view_submission(&state, &caller, id).await?;
    let etag = TypedHeader(etag(submission.revision));
    Ok((etag, [(CACHE_CONTROL, "no-store")], Json(DetailBody { success: true, data })))
}

/// Reads a submission and records in the audit log that the caller has viewed it.
pub(crate) async fn view_submission(
    state: &AppState,
    caller: &Caller,
    id: SubmissionId,
) -> ApiResult<(Submission, Detail)> {
    let store = &state.app.store;
    let clinical = caller.has_permission(Permission::ClinicalRead);
    let entry = caller.audit_entry(Action::SubmissionView, ObjectKind::Submission, id);
    let submission = find_visible(state, caller, id, &entry).await?;
    let detail = Detail::read(store, submission.clone(), clinical).await?;
    store.append_audit_entry(&entry.with("clinical", clinical)).await?;
    Ok((submission, detail))
}

/// Returns the submission if the caller may see it. `entry` records a refusal.
pub(super) async fn find_visible(
    state: &AppState,
    caller: &Caller,
    id: SubmissionId,
    entry: &NewAuditEntry,
) -> ApiResult<Submission> {
    match state.app.store.submission(id).await?.filter(|found| caller.may_see(found)) {
        Some(submission) => Ok(submission),
        None => Err(refuse(state, entry.clone(), ApiError::NotFound).await),
    }
}

/// A response that contains a submission.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetailBody {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The submission.
    data: Detail,
}

/// A submission with its files, events, runs and e-mails.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Detail {
    /// Id of the submission.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: SubmissionId,
    /// E-mail address of the patient. `null` if the submission was erased.
    #[schema(required, example = "ana@example.org")]
    pub(crate) email: Option<String>,
    /// Status of the submission.
    pub(crate) status: SubmissionStatus,
    /// E-mail address the patient originally entered, if staff have since corrected it; otherwise `null`.
    #[schema(required)]
    pub(crate) original_email: Option<String>,
    /// Always `true`, because submissions without consent are rejected.
    #[schema(example = true)]
    pub(crate) consent_given: bool,
    /// Version of the consent text that the patient agreed to.
    #[schema(example = "2026-11")]
    pub(crate) consent_version: String,
    /// Time of consent.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) consent_at: UtcTime,
    /// Stable failure code.
    #[schema(required, value_type = Option<SubmissionErrorCode>)]
    pub(crate) error_code: Option<String>,
    /// LoopAI's error text, which may describe the images. Present only for callers with `clinical:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_detail: Option<String>,
    /// Time of receipt.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) created_at: UtcTime,
    /// Time of the last change.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) updated_at: UtcTime,
    /// Time at which the submission reached its final state.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) finished_at: Option<UtcTime>,
    /// Id of the account that sent the submission.
    #[schema(required, value_type = Option<String>, format = "uuid")]
    pub(crate) submitted_by: Option<UserId>,
    /// Time of deletion.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) deleted_at: Option<UtcTime>,
    /// Time at which the personal data was erased, leaving only the id, states and times.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) erased_at: Option<UtcTime>,
    /// Staff note.
    #[schema(required)]
    pub(crate) note: Option<String>,
    /// Id of the account to which the submission is assigned.
    #[schema(required, value_type = Option<String>, format = "uuid")]
    pub(crate) assignee: Option<UserId>,
    /// Name of the account to which the submission is assigned.
    #[schema(required, example = "Ana López")]
    pub(crate) assignee_name: Option<String>,
    /// Time at which the current run was found to be stuck, because its workflow task fails on every attempt. `null` if
    /// the run is not stuck.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) stuck_since: Option<UtcTime>,
    /// Cause of the workflow task failures, as reported by Temporal.
    #[schema(required, example = "non_deterministic_error")]
    pub(crate) stuck_cause: Option<String>,
    /// Whether medical information is included.
    pub(crate) clinical: bool,
    /// Comments from the patient. Present only for callers with `clinical:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comments: Option<String>,
    /// Latest result from LoopAI. Present only for callers with `clinical:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DiagnosisResult>)]
    pub(crate) result: Option<Map<String, Value>>,
    /// Images, in upload order.
    pub(crate) files: Vec<FileBody>,
    /// Events, oldest first.
    pub(crate) events: Vec<TimelineEventBody>,
    /// Runs, oldest first.
    pub(crate) runs: Vec<RunBody>,
    /// E-mails, oldest first.
    pub(crate) deliveries: Vec<DeliveryBody>,
}

/// An image.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileBody {
    /// Id of the file.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: FileId,
    /// Position within the submission, starting at 1.
    pub(crate) position: i32,
    /// Media type.
    #[schema(example = "image/jpeg")]
    pub(crate) media_type: String,
    /// Size in bytes.
    pub(crate) size: i64,
    /// SHA-256 of the content.
    pub(crate) sha256: String,
    /// File name on the patient's device, which may describe the image. Present only for callers with `clinical:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Path of the image. Present only for callers with `clinical:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
}

/// An event of the submission.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TimelineEventBody {
    /// Number within the submission, starting at 1.
    pub(crate) number: i32,
    /// Name of the server-sent event.
    pub(crate) name: SubmissionEventName,
    /// Machine-readable name of the event.
    pub(crate) step: SubmissionStep,
    /// Status of the submission after the event.
    pub(crate) status: SubmissionStatus,
    /// Message to the patient.
    pub(crate) message: String,
    /// Time of the event.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) at: UtcTime,
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunBody {
    /// Number within the submission, starting at 1.
    pub(crate) number: i32,
    /// Temporal run id. `null` until the run starts.
    #[schema(required)]
    pub(crate) temporal_run_id: Option<String>,
    /// Id of the execution at LoopAI.
    #[schema(required)]
    pub(crate) execution_id: Option<String>,
    /// Time at which the run was queued.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) created_at: UtcTime,
    /// Time at which Temporal started the run.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) started_at: Option<UtcTime>,
    /// Time at which LoopAI accepted the request.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) requested_at: Option<UtcTime>,
    /// Time at which the run ended.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) finished_at: Option<UtcTime>,
}

/// An e-mail to the patient.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryBody {
    /// Id of the delivery.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: DeliveryId,
    /// Number of the run that the e-mail reports on, or 0 if it reports on no run.
    pub(crate) run: i32,
    /// Outcome reported by the e-mail.
    pub(crate) kind: EmailKind,
    /// Status of the e-mail.
    pub(crate) status: EmailStatus,
    /// Number of attempts to send the e-mail.
    pub(crate) attempts: i32,
    /// Stable code for the last failure.
    #[schema(required, value_type = Option<SubmissionErrorCode>)]
    pub(crate) error_code: Option<String>,
    /// Details of the last failure, for staff.
    #[schema(required)]
    pub(crate) error_detail: Option<String>,
    /// Time at which the e-mail was planned.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) created_at: UtcTime,
    /// Time at which `status` became `sent`, `unknown` or `failed`.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) settled_at: Option<UtcTime>,
}

impl Detail {
    async fn read(store: &Store, submission: Submission, clinical: bool) -> ApiResult<Self> {
        let id = submission.id;
        let result = if clinical { store.result(id).await? } else { None };
        let assignee_name = match submission.assignee {
            Some(account) => store.user(account).await?.map(|account| account.name),
            None => None,
        };
        let files = store.files(id).await?;
        let events = store.events(id, 0).await?;
        let (runs, deliveries) = (store.runs(id).await?, store.deliveries(id).await?);
        Ok(Self {
            id,
            email: submission.erased_at.is_none().then(|| submission.email.to_string()),
            status: submission.status.into(),
            original_email: submission.original_email.map(|email| email.to_string()),
            consent_given: true,
            consent_version: submission.consent_version,
            consent_at: submission.consent_at,
            error_code: submission.error_code,
            error_detail: submission.error_detail.filter(|_| clinical),
            created_at: submission.created_at,
            updated_at: submission.updated_at,
            finished_at: submission.finished_at,
            submitted_by: submission.submitted_by,
            deleted_at: submission.deleted_at,
            erased_at: submission.erased_at,
            note: submission.note,
            assignee: submission.assignee,
            assignee_name,
            stuck_since: submission.stuck_since,
            stuck_cause: submission.stuck_cause,
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
            url: clinical.then(|| file::path(file.id)),
        }
    }
}

impl From<Event> for TimelineEventBody {
    fn from(event: Event) -> Self {
        Self {
            number: event.number,
            name: event.name.into(),
            step: event.step.into(),
            status: event.status.into(),
            message: event.message,
            at: event.created_at,
        }
    }
}

impl From<Run> for RunBody {
    fn from(run: Run) -> Self {
        Self {
            number: run.number,
            temporal_run_id: run.temporal_run_id,
            execution_id: run.loopai_execution_id,
            created_at: run.created_at,
            started_at: run.started_at,
            requested_at: run.requested_at,
            finished_at: run.finished_at,
        }
    }
}

impl From<Delivery> for DeliveryBody {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            run: delivery.run_number,
            kind: delivery.kind.into(),
            status: delivery.status.into(),
            attempts: delivery.attempts,
            error_code: delivery.error_code,
            error_detail: delivery.error_detail,
            created_at: delivery.created_at,
            settled_at: delivery.settled_at,
        }
    }
}
