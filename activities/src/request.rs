//! Asking LoopAI for a diagnosis: within this worker's room, and within what all workers together may ask.

use crate::failure::{hopeless, records, retryable, storage};
use crate::loopai::{Admission, DiagnoseRequest, Images, LoopAi, LoopAiError};
use crate::telemetry;
use diagflow_store::{
    Budget, Entry, Failpoint, File, Heard, Pass, RunKey, Store, SubmissionId, Wait,
};
use std::time::Duration;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

/// What came of the wish to ask.
pub(crate) enum Asked {
    /// LoopAI took it, and named its execution.
    Taken(String),
    /// The call failed; perhaps it is known when to come again.
    Failed(LoopAiError, Option<Duration>),
    /// The submission has ended meanwhile.
    Ended,
    /// A newer run took over meanwhile.
    Superseded,
}

/// Asks LoopAI for diagnoses.
pub struct DiagnosisRequester {
    /// The records.
    pub store: Store,
    /// How LoopAI gets the patients' images.
    pub images: Images,
    /// The platform that diagnoses.
    pub loopai: LoopAi,
    /// Bounds the requests to LoopAI that this worker has under way.
    pub admission: Admission,
    /// Bounds what LoopAI is asked by all workers.
    pub budget: Budget,
}

impl DiagnosisRequester {
    /// Posts a run's submission to LoopAI, if there is room for it and LoopAI is not away.
    pub(crate) async fn ask_loopai(
        &self,
        ctx: &ActivityContext,
        run: RunKey,
    ) -> Result<Asked, ActivityError> {
        // After a local attempt an ordinary one follows at once: a wish to wait would only cost events.
        let told = |after: Option<Duration>| after.filter(|_| !ctx.info().is_local);
        let files = self.store.files(run.submission).await.map_err(records)?;
        let bytes = self.images.bytes_within_request(&files);
        let _admitted = match self.admission.enter(run, bytes) {
            Ok(admitted) => admitted,
            Err(turned) => {
                let why = "this worker has as many requests under way as it may";
                return Err(retryable("worker_busy", why, told(turned.after)));
            }
        };
        let pass = match self.store.enter_loopai(run, self.budget).await.map_err(records)? {
            Entry::Admitted(pass) => pass,
            Entry::TurnedAway { why, after } => {
                let (code, clue) = words(why);
                telemetry::turned_away(code);
                return Err(retryable(code, clue, told(Some(after))));
            }
            Entry::Ended => return Ok(Asked::Ended),
            Entry::Superseded => return Ok(Asked::Superseded),
        };
        Failpoint::RequestAdmitted.pass().await;
        let request = match self.request_for(run, files).await {
            Ok(request) => request,
            Err(error) => {
                let noted = self.store.loopai_not_asked(pass).await;
                noted.unwrap_or_else(|error| tracing::warn!(%error, "cannot give the turn back"));
                return Err(error);
            }
        };
        Ok(match self.loopai.diagnose(&request).await {
            Ok(execution_id) => {
                self.heard(pass, Heard::Well).await;
                Asked::Taken(execution_id)
            }
            Err(error) => {
                let heard = if error.is_away() { Heard::Away } else { Heard::Well };
                let after = told(self.heard(pass, heard).await).max(error.retry_after());
                Asked::Failed(error, after)
            }
        })
    }

    /// Lets all workers know how a request went. What LoopAI answered counts, whether they can be told or not.
    async fn heard(&self, pass: Pass, heard: Heard) -> Option<Duration> {
        let noted = self.store.loopai_heard(pass, heard).await;
        noted.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot note how LoopAI is");
            None
        })
    }

    /// When to look again at an execution after a look that failed so: not before LoopAI was tried again, if
    /// it is away.
    pub(crate) async fn look_again_after(
        &self,
        submission: SubmissionId,
        error: &LoopAiError,
    ) -> Option<Duration> {
        let away = match error.is_away() {
            true => self.store.loopai_away(submission).await.unwrap_or_default(),
            false => None,
        };
        away.max(error.retry_after())
    }

    /// What LoopAI gets for a run.
    async fn request_for(
        &self,
        run: RunKey,
        files: Vec<File>,
    ) -> Result<DiagnoseRequest, ActivityError> {
        let submission = self
            .store
            .submission(run.submission)
            .await
            .map_err(records)?
            .ok_or_else(|| hopeless("unknown_submission", run.submission))?;
        let mut images = Vec::new();
        for file in files {
            images.push(self.images.image(file).await.map_err(storage)?);
        }
        Ok(DiagnoseRequest {
            submission_id: run.submission.to_string(),
            reference: format!("{}-{}", run.submission, run.number),
            comments: submission.comments,
            images,
        })
    }
}

/// The stable code for what a run waits for, and more about it.
fn words(why: Wait) -> (&'static str, &'static str) {
    match why {
        Wait::Place => ("loopai_busy", "as many executions are under way as may be at once"),
        Wait::Hour => ("loopai_hour_used_up", "as many executions were begun in an hour as may be"),
        Wait::LoopAi => ("loopai_away", "LoopAI is taken for away"),
    }
}
