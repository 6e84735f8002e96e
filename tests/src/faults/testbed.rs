//! A stack in which faults happen, with a memory of what it promised.

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

/// How often is looked whether everything has come to its end.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// See the head of this file.
pub(crate) struct Testbed {
    /// The parts themselves.
    pub(crate) stack: Stack,
    /// What LoopAI may do by itself.
    pub(crate) tolerances: Tolerances,
    /// How long everything may take to come to its end after the last fault, and a further submission to its own.
    pub(crate) settle_timeout: Duration,
    acknowledged: Vec<AcknowledgedSubmission>,
    listeners: Vec<Listener>,
    patients: AtomicU32,
}

impl Testbed {
    /// Starts everything.
    pub(crate) async fn start(options: StackOptions) -> Testbed {
        Self::new(Stack::with(options.with("CONSENT_VERSION", CONSENT_VERSION)).await)
    }

    /// Starts everything but the API and the worker.
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

    /// An address that nobody had before.
    pub(crate) fn new_patient(&self) -> String {
        format!("patient-{}@example.org", self.patients.fetch_add(1, Ordering::Relaxed))
    }

    /// Somebody submits a photo, is answered with 202, and follows it.
    pub(crate) async fn submit(&mut self) -> AcceptedSubmission {
        self.submit_with_comments("").await
    }

    /// The same, with comments, which may hold directives for the simulator.
    pub(crate) async fn submit_with_comments(&mut self, comments: &str) -> AcceptedSubmission {
        let (email, photo) = (self.new_patient(), photos::unique_retina());
        let body = ApiClient::submission_body(&email, comments, std::slice::from_ref(&photo));
        let answer = self.stack.client.post(&body, None).await.expect("an answer");
        self.record_accepted(answer, &email, comments, &[photo]).await
    }

    /// `count` submissions, one after the other.
    pub(crate) async fn submit_many(&mut self, count: usize) -> Vec<AcceptedSubmission> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(self.submit().await);
        }
        all
    }

    /// Sends a submission in the background: the fault may break the connection.
    pub(crate) fn send(
        &self,
        email: &str,
        key: Option<&str>,
    ) -> JoinHandle<reqwest::Result<Response>> {
        self.send_photos(email, key, vec![photos::cat()])
    }

    /// The same with other photos.
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

    /// Sends a submission in the background, again and again until it is accepted, as a client does.
    pub(crate) fn send_until_accepted(&self, email: &str, key: &str) -> JoinHandle<Response> {
        let body = ApiClient::submission_body(email, "", &[photos::cat()]);
        let (client, key) = (self.stack.client.clone(), key.to_owned());
        tokio::spawn(async move { repeat_until_accepted(&client, &body, &key).await })
    }

    /// Notes an answer to what was sent as a promise, and has somebody listen.
    ///
    /// # Panics
    /// When it is no 202.
    pub(crate) async fn record_accepted(
        &mut self,
        answer: Response,
        email: &str,
        comments: &str,
        photos: &[Photo],
    ) -> AcceptedSubmission {
        let accepted = expect_accepted(answer).await;
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

    /// Notes what somebody else submitted, got accepted and follows: a photo and no comments.
    pub(crate) fn record_followed(
        &mut self,
        FollowedSubmission { accepted, email, listener }: FollowedSubmission,
    ) {
        self.record(AcknowledgedSubmission::new(accepted, &email, "", &[photos::cat()]), listener);
    }

    /// Notes what was promised to somebody, and who listens.
    pub(crate) fn record(&mut self, acknowledged: AcknowledgedSubmission, listener: Listener) {
        self.acknowledged.push(acknowledged);
        self.listeners.push(listener);
    }

    /// Notes an answer to what [`World::send`] sent.
    pub(crate) async fn record_sent(
        &mut self,
        answer: Response,
        email: &str,
    ) -> AcceptedSubmission {
        self.record_accepted(answer, email, "", &[photos::cat()]).await
    }

    /// One more listener of a submission, from its first event on.
    pub(crate) fn listen(&mut self, submission: &AcceptedSubmission) {
        self.listen_at(&self.stack.client.clone(), submission);
    }

    /// The same at another address of the API.
    pub(crate) fn listen_at(&mut self, client: &ApiClient, submission: &AcceptedSubmission) {
        self.listeners.push(Listener::follow(client.clone(), submission.clone()));
    }

    /// Notes that staff were told that a move of theirs is done, by the audit's name of it.
    pub(crate) fn record_staff_action(
        &mut self,
        submission: &AcceptedSubmission,
        action: &'static str,
    ) {
        self.acknowledged_mut(submission).staff_actions.push(action);
    }

    /// Says how a submission may end, instead of with a result.
    pub(crate) fn allow_ends(&mut self, submission: &AcceptedSubmission, ends: &[ExpectedEnd]) {
        self.acknowledged_mut(submission).allowed_ends = ends.to_vec();
    }

    /// What its patient was promised.
    ///
    /// # Panics
    /// When it was nothing.
    pub(crate) fn acknowledged_mut(
        &mut self,
        submission: &AcceptedSubmission,
    ) -> &mut AcknowledgedSubmission {
        let of_it = |one: &&mut AcknowledgedSubmission| {
            one.accepted.submission_id == submission.submission_id
        };
        self.acknowledged.iter_mut().find(of_it).expect("acknowledged")
    }

    /// Kills the worker once it is held at `boundary`, and starts another one.
    pub(crate) async fn kill_worker_at(&mut self, boundary: Failpoint) {
        self.stack.failpoints.wait_until_reached(boundary).await;
        self.stack.worker.take().expect("runs").kill();
        self.stack.failpoints.release(boundary);
        self.stack.start_worker().await;
    }

    /// Kills the API once it is held at `boundary`, and starts another one.
    pub(crate) async fn kill_api_at(&mut self, boundary: Failpoint) {
        self.stack.failpoints.wait_until_reached(boundary).await;
        self.stack.api.take().expect("runs").kill();
        self.stack.failpoints.release(boundary);
        self.stack.start_api().await;
    }

    /// Waits until everything has come to its end, looks at all of it from outside, judges, and ends it.
    pub(crate) async fn report(self) -> RowReport {
        self.report_with_ends().await.0
    }

    /// The same, and tells how many submissions and e-mails ended how.
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

    /// I6: after the fault, and without anybody's hand, a new submission is taken and comes to its result.
    async fn probe(&mut self) -> Result<(), String> {
        self.stack.assert_alive();
        let (email, photo) = (self.new_patient(), photos::unique_retina());
        let body = ApiClient::submission_body(&email, "", std::slice::from_ref(&photo));
        let started = Instant::now();
        let answer = loop {
            match self.stack.client.post(&body, None).await {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => break answer,
                other if started.elapsed() > self.settle_timeout => {
                    return Err(format!("no submission is taken any more: {other:?}"));
                }
                Ok(_) | Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
            }
        };
        let probe = self.record_accepted(answer, &email, "", &[photo]).await;
        while started.elapsed() < self.settle_timeout {
            let found = self.stack.store.submission(id_of(&probe)).await;
            if found.is_ok_and(|found| found.is_some_and(|found| found.status.is_final())) {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Err("a submission after the fault does not come to its end".to_owned())
    }

    /// Waits until nothing moves any more; gives up after a while, and leaves the verdict to the judge.
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
            // What Temporal still works on may still say something.
            && history::open_workflows(&self.stack).await.is_empty()
    }
}

/// Sends a body until it is accepted, always with the same key.
///
/// # Panics
/// When it is refused in a way that no client would repeat, or not accepted for a long time.
async fn repeat_until_accepted(client: &ApiClient, body: &Value, key: &str) -> Response {
    let started = Instant::now();
    loop {
        match client.post(body, Some(key)).await {
            Ok(answer) if answer.status() == StatusCode::ACCEPTED => return answer,
            Ok(answer) => {
                let (status, has_retry_after) =
                    (answer.status(), answer.headers().contains_key("retry-after"));
                assert!(has_retry_after, "{status}: {:?}", answer.text().await);
            }
            Err(_) => {}
        }
        assert!(started.elapsed() < 2 * LIMIT, "not accepted");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests;
