//! What the page of a submission shows.

use crate::app::AppState;
use crate::error::ApiResult;
use crate::extract::submission_access::{
    SubmissionAccess, events_path, page_path, photos_path, status_path,
};
use crate::pages::masked::masked;
use crate::pages::patient::submission_report::ReportView;
use crate::pages::patient::submission_steps::{StepView, steps};
use crate::routes::patient::expectations::WaitingReason;
use crate::routes::patient::submission_state::SubmissionState;
use chrono::{DateTime, Utc};
use diagflow_locales::{Language, Text};
use diagflow_store::{DeliveryStatus, EmailAddress, FailureCode, Status, Submission, SubmissionId};

/// Number of seconds after which the page requests itself again. The place in the queue, and the status of the e-mail,
/// change without an event.
const REFRESH_SECONDS: u32 = 15;

pub(super) struct SubmissionView {
    pub(super) id: SubmissionId,
    /// `None` once the submission has ended.
    pub(super) events: Option<FollowedEvents>,
    pub(super) refresh_seconds: Option<u32>,
    /// Name of the texts about this state.
    pub(super) state: &'static str,
    pub(super) received_at: DateTime<Utc>,
    pub(super) photos: Vec<PhotoView>,
    pub(super) steps: Vec<StepView>,
    pub(super) is_cancelling: bool,
    pub(super) is_paused: bool,
    pub(super) queue_position: Option<i64>,
    pub(super) usual_minutes: Option<u64>,
    pub(super) deadline_at: Option<DateTime<Utc>>,
    /// What the patient can expect of the e-mail.
    pub(super) email: Text,
    pub(super) report: Option<ReportView>,
    /// Whether the reader may cancel and delete the submission.
    pub(super) is_patient: bool,
}

pub(super) struct FollowedEvents {
    pub(super) path: String,
    /// Number of the last event that the page shows.
    pub(super) last: i32,
}

pub(super) struct PhotoView {
    pub(super) position: i32,
    pub(super) path: String,
}

impl SubmissionView {
    pub(super) async fn read(
        state: &AppState,
        language: Language,
        access: SubmissionAccess,
    ) -> ApiResult<Self> {
        let store = &state.app.store;
        let (is_patient, is_clinical) = (access.is_patient(), access.is_clinical());
        let shown = SubmissionState::read(state, access).await?;
        let email_status = shown.email_status();
        let SubmissionState { submission, expectations, result, .. } = shown;
        let id = submission.id;
        let files = if is_clinical { store.files(id).await? } else { Vec::new() };
        let photos = files.iter().map(|file| PhotoView {
            position: file.position,
            path: format!("{}/{}", photos_path(id), file.position),
        });
        let is_final = submission.status.is_final();
        let is_email_pending = email_status.is_some_and(|status| !status.is_settled());
        Ok(Self {
            events: (!is_final)
                .then(|| FollowedEvents { path: events_path(id), last: submission.last_event }),
            refresh_seconds: (!is_final || is_email_pending).then_some(REFRESH_SECONDS),
            state: state_name(&submission),
            received_at: submission.created_at.into(),
            photos: photos.collect(),
            steps: steps(&submission, &store.events(id, 0).await?),
            is_cancelling: expectations.is_cancelling,
            is_paused: expectations.waiting_reason == Some(WaitingReason::Paused),
            queue_position: expectations.queue_position,
            usual_minutes: expectations.usually_seconds.map(|seconds| seconds.div_ceil(60).max(1)),
            deadline_at: expectations.deadline_at.map(DateTime::from),
            email: email_text(language, is_final, email_status, &submission.email),
            report: result.map(|result| ReportView::new(&result, &files)),
            is_patient,
            id,
        })
    }

    pub(super) fn is_final(&self) -> bool {
        self.events.is_none()
    }

    pub(super) fn path(&self) -> String {
        page_path(self.id)
    }

    /// The JSON document with the complete result.
    pub(super) fn document_path(&self) -> String {
        status_path(self.id)
    }
}

/// Returns the status, or `failed_by_us` if the photos were not the reason.
fn state_name(submission: &Submission) -> &'static str {
    let is_failed = submission.status == Status::Failed;
    let code = submission.error_code.as_deref();
    match is_failed && code != Some(FailureCode::LoopaiFailed.as_str()) {
        true => "failed_by_us",
        false => submission.status.name(),
    }
}

fn email_text(
    language: Language,
    is_final: bool,
    status: Option<DeliveryStatus>,
    address: &EmailAddress,
) -> Text {
    let text = match status.filter(|_| is_final) {
        _ if !is_final => language.text("submission-email-later"),
        None | Some(DeliveryStatus::Planned | DeliveryStatus::Sending) => {
            language.text("submission-email-pending")
        }
        Some(DeliveryStatus::Sent) => language.text("submission-email-sent"),
        Some(DeliveryStatus::Unknown) => language.text("submission-email-unknown"),
        Some(DeliveryStatus::Failed) => language.text("submission-email-failed"),
    };
    text.arg("address", masked(address.as_str()))
}
