//! A stack for injecting faults, which records acknowledged requests and the events received by listeners.

use super::acknowledged::{AcknowledgedSubmission, CONSENT_VERSION, ExpectedEnd};
use super::invariants::{self, Tolerances};
use super::listener::Listener;
use super::load::FollowedSubmission;
use super::report::RowReport;
use super::snapshot::Snapshot;
use crate::client::{AcceptedSubmission, ApiClient, expect_accepted};
use crate::eventually::LIMIT;
use crate::history;
use crate::photos::{self, Photo};
use crate::stack::{Stack, StackOptions, id_of};
use diagflow_store::Failpoint;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub(crate) struct Testbed {
    pub(crate) stack: Stack,
    pub(crate) tolerances: Tolerances,
    /// Time limit for all runs to end after the last fault, and for the probe to finish.
    pub(crate) settle_timeout: Duration,
    acknowledged: Vec<AcknowledgedSubmission>,
    listeners: Vec<Listener>,
    patients: AtomicU32,
}

impl Testbed {
    pub(crate) async fn start(options: StackOptions) -> Testbed {
        Self::new(Stack::with(options.with("CONSENT_VERSION", CONSENT_VERSION)).await)
    }

    pub(crate) async fn without_processes(options: StackOptions) -> Testbed {
        let options = options.with("CONSENT_VERSION", CONSENT_VERSION);
        Self::new(Stack::without_processes(options).await)
    }

    fn new(stack: Stack) -> Testbed {
        Testbed {
            stack,
            tolerances: Tolerances::default(),
            settle_timeout: LIMIT,
            acknowledged: Vec::new(),
            listeners: Vec::new(),
            patients: AtomicU32::new(0),
        }
    }

    pub(crate) fn new_patient(&self) -> String {
        format!("patient-{}@example.org", self.patients.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) async fn submit(&mut self) -> AcceptedSubmission {
        self.submit_with_comments("").await
    }

    /// Sends a submission whose comments may contain a simulator directive.
    pub(crate) async fn submit_with_comments(&mut self, comments: &str) -> AcceptedSubmission {
        let (email, photo) = (self.new_patient(), photos::unique_retina());
        let body = ApiClient::submission_body(&email, comments, std::slice::from_ref(&photo));
        let response = self.stack.client.post(&body, None).await.expect("a response");
        self.record_accepted(response, &email, comments, &[photo]).await
    }

    pub(crate) async fn submit_many(&mut self, count: usize) -> Vec<AcceptedSubmission> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(self.submit().await);
        }
        all
    }

    /// Sends a submission in the background because the fault may break the connection.
    pub(crate) fn send(
        &self,
        email: &str,
        key: Option<&str>,
    ) -> JoinHandle<reqwest::Result<Response>> {
        self.send_photos(email, key, vec![photos::cat()])
    }

    pub(crate) fn send_photos(
        &self,
        email: &str,
        key: Option<&str>,
        photos: Vec<Photo>,
    ) -> JoinHandle<reqwest::Result<Response>> {
        let body = ApiClient::submission_body(email, "", &photos);
        let (client, key) = (self.stack.client.clone(), key.map(str::to_owned));
        tokio::spawn(async move { client.post(&body, key.as_deref()).await })
    }

    /// Sends a submission in the background, retrying as a client would until it is accepted.
    pub(crate) fn send_until_accepted(&self, email: &str, key: &str) -> JoinHandle<Response> {
        let body = ApiClient::submission_body(email, "", &[photos::cat()]);
        let (client, key) = (self.stack.client.clone(), key.to_owned());
        tokio::spawn(async move { repeat_until_accepted(&client, &body, &key).await })
    }

    /// Records an accepted submission and starts a listener.
    pub(crate) async fn record_accepted(
        &mut self,
        response: Response,
        email: &str,
        comments: &str,
        photos: &[Photo],
    ) -> AcceptedSubmission {
        let accepted = expect_accepted(response).await;
        let is_new = !self
            .acknowledged
            .iter()
            .any(|one| one.accepted.submission_id == accepted.submission_id);
        if is_new {
            self.acknowledged.push(AcknowledgedSubmission::new(
                accepted.clone(),
                email,
                comments,
                photos,
            ));
            self.listen(&accepted);
        }
        accepted
    }

    /// Records a submission sent by [`Load`](super::load::Load), which has one photo and no comments.
    pub(crate) fn record_followed(
        &mut self,
        FollowedSubmission { accepted, email, listener }: FollowedSubmission,
    ) {
        self.record(AcknowledgedSubmission::new(accepted, &email, "", &[photos::cat()]), listener);
    }

    pub(crate) fn record(&mut self, acknowledged: AcknowledgedSubmission, listener: Listener) {
        self.acknowledged.push(acknowledged);
        self.listeners.push(listener);
    }

    /// Records the response to [`Testbed::send`].
    pub(crate) async fn record_sent(
        &mut self,
        response: Response,
        email: &str,
    ) -> AcceptedSubmission {
        self.record_accepted(response, email, "", &[photos::cat()]).await
    }

    pub(crate) fn listen(&mut self, submission: &AcceptedSubmission) {
        self.listen_at(&self.stack.client.clone(), submission);
    }

    pub(crate) fn listen_at(&mut self, client: &ApiClient, submission: &AcceptedSubmission) {
        self.listeners.push(Listener::follow(client.clone(), submission.clone()));
    }

    /// Records a successful staff action under its audit log name.
    pub(crate) fn record_staff_action(
        &mut self,
        submission: &AcceptedSubmission,
        action: &'static str,
    ) {
        self.acknowledged_mut(submission).staff_actions.push(action);
    }

    /// Replaces the allowed ends. By default, only completion is allowed.
    pub(crate) fn allow_ends(&mut self, submission: &AcceptedSubmission, ends: &[ExpectedEnd]) {
        self.acknowledged_mut(submission).allowed_ends = ends.to_vec();
    }

    pub(crate) fn acknowledged(&self) -> &[AcknowledgedSubmission] {
        &self.acknowledged
    }

    pub(crate) fn acknowledged_mut(
        &mut self,
        submission: &AcceptedSubmission,
    ) -> &mut AcknowledgedSubmission {
        let of_it = |one: &&mut AcknowledgedSubmission| {
            one.accepted.submission_id == submission.submission_id
        };
        self.acknowledged.iter_mut().find(of_it).expect("an acknowledged submission")
    }

    /// Kills the worker once it is paused at the failpoint, and starts another one.
    pub(crate) async fn kill_worker_at(&mut self, failpoint: Failpoint) {
        self.stack.failpoints.wait_until_reached(failpoint).await;
        self.stack.worker.take().expect("a running process").kill();
        self.stack.failpoints.release(failpoint);
        self.stack.start_worker().await;
    }

    /// Kills the API once it is paused at the failpoint, and starts another one.
    pub(crate) async fn kill_api_at(&mut self, failpoint: Failpoint) {
        self.stack.failpoints.wait_until_reached(failpoint).await;
        self.stack.api.take().expect("a running process").kill();
        self.stack.failpoints.release(failpoint);
        self.stack.start_api().await;
    }

    /// Waits until all runs have ended, checks the invariants against a snapshot, and stops the stack.
    pub(crate) async fn report(self) -> RowReport {
        self.report_with_ends().await.0
    }

    pub(crate) async fn report_with_ends(mut self) -> (RowReport, BTreeMap<String, i64>) {
        let probe = self.probe().await;
        self.settle().await;
        let mut snapshot =
            Snapshot::collect(&self.stack, &self.acknowledged, &self.listeners).await;
        snapshot.not_recovered = probe.err();
        let violations = invariants::check(&self.acknowledged, &snapshot, self.tolerances);
        let submissions = self.acknowledged.len();
        self.listeners.clear();
        self.stack.stop().await;
        (RowReport { submissions, violations }, snapshot.count_ends())
    }

    /// I6: A new submission is accepted and reaches a terminal state without intervention.
    async fn probe(&mut self) -> Result<(), String> {
        self.stack.assert_alive();
        let (email, photo) = (self.new_patient(), photos::unique_retina());
        let body = ApiClient::submission_body(&email, "", std::slice::from_ref(&photo));
        let started = Instant::now();
        let response = loop {
            match self.stack.client.post(&body, None).await {
                Ok(response) if response.status() == StatusCode::ACCEPTED => break response,
                other if started.elapsed() > self.settle_timeout => {
                    return Err(format!("no submission was accepted: {other:?}"));
                }
                Ok(_) | Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
            }
        };
        let probe = self.record_accepted(response, &email, "", &[photo]).await;
        while started.elapsed() < self.settle_timeout {
            let found = self.stack.store.submission(id_of(&probe)).await;
            if found.is_ok_and(|found| found.is_some_and(|found| found.status.is_final())) {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Err("a submission sent after the fault did not reach a terminal state".to_owned())
    }

    /// Waits until no run or delivery is in progress. Anything still in progress after the timeout violates an
    /// invariant.
    async fn settle(&self) {
        let started = Instant::now();
        while started.elapsed() < self.settle_timeout && !self.is_settled().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn is_settled(&self) -> bool {
        let open = "SELECT (SELECT COUNT(*) FROM submissions WHERE finished_at IS NULL) \
             + (SELECT COUNT(*) FROM deliveries WHERE settled_at IS NULL)";
        self.listeners.iter().all(Listener::is_done)
            && self.stack.database.number(open).await == 0
            // An open workflow may still modify records.
            && history::open_workflows(&self.stack).await.is_empty()
    }
}

/// Repeats a request with the same key until it is accepted.
///
/// # Panics
///
/// Panics on a response that a client would not retry.
async fn repeat_until_accepted(client: &ApiClient, body: &Value, key: &str) -> Response {
    let started = Instant::now();
    loop {
        match client.post(body, Some(key)).await {
            Ok(response) if response.status() == StatusCode::ACCEPTED => return response,
            Ok(response) => {
                let (status, has_retry_after) =
                    (response.status(), response.headers().contains_key("retry-after"));
                assert!(has_retry_after, "{status}: {:?}", response.text().await);
            }
            Err(_) => {}
        }
        assert!(started.elapsed() < 2 * LIMIT, "the submission was not accepted in time");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests;
