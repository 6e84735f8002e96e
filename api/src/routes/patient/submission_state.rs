//! The state of a submission, which the status document and the submission's page show.

use crate::app::AppState;
use crate::error::ApiResult;
use crate::extract::submission_access::SubmissionAccess;
use crate::routes::patient::expectations::Expectations;
use diagflow_store::{
    Delivery, DeliveryKind, DeliveryStatus, DiagnosisResult, Event, Status, Submission,
    result_email_status,
};

pub(crate) struct SubmissionState {
    pub(crate) submission: Submission,
    pub(crate) latest: Option<Event>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) expectations: Expectations,
    /// Result of a *completed* submission, if the caller may read medical data.
    pub(crate) result: Option<DiagnosisResult>,
}

impl SubmissionState {
    pub(crate) async fn read(state: &AppState, access: SubmissionAccess) -> ApiResult<Self> {
        let store = &state.app.store;
        let is_clinical = access.is_clinical();
        let submission = access.submission;
        let id = submission.id;
        let latest = store.events(id, submission.last_event - 1).await?.into_iter().next();
        let step = latest.as_ref().map(|event| event.step);
        let expectations = Expectations::of(state, &submission, step).await?;
        let result = match submission.status {
            Status::Completed if is_clinical => store.result(id).await?,
            _ => None,
        };
        let deliveries = store.deliveries(id).await?;
        Ok(Self { submission, latest, deliveries, expectations, result })
    }

    /// Returns the status of the latest e-mail about the submission. E-mails with a new link do not count.
    pub(crate) fn email_status(&self) -> Option<DeliveryStatus> {
        match self.submission.status {
            Status::Completed => result_email_status(&self.deliveries),
            _ => {
                let about_end = self.deliveries.iter().rfind(|it| it.kind != DeliveryKind::Link);
                about_end.map(|delivery| delivery.status)
            }
        }
    }
}
