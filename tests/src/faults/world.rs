//! A stack in which faults happen, with a memory of what it promised.

use super::judge::{self, Terms};
use super::ledger::{Acknowledged, CONSENT_VERSION, End, Listener};
use super::load::Followed;
use super::observe::Observed;
use super::report::Report;
use crate::client::{Accepted, ApiClient, accepted};
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
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// See the head of this file.
pub(crate) struct World {
    /// The parts themselves.
    pub(crate) stack: Stack,
    /// What LoopAI may do by itself.
    pub(crate) terms: Terms,
    /// How long everything may take to come to its end after the last fault, and a further submission to its own.
    pub(crate) patience: Duration,
    acknowledged: Vec<Acknowledged>,
    listeners: Vec<Listener>,
    patients: AtomicU32,
}

impl World {
    /// Starts everything.
    pub(crate) async fn start(options: StackOptions) -> World {
        Self::around(Stack::with(options.with("CONSENT_VERSION", CONSENT_VERSION)).await)
    }

    /// Starts everything but the API and the worker.
    pub(crate) async fn without_processes(options: StackOptions) -> World {
        let options = options.with("CONSENT_VERSION", CONSENT_VERSION);
        Self::around(Stack::without_processes(options).await)
    }

    fn around(stack: Stack) -> World {
        World {
            stack,
            terms: Terms::default(),
            patience: LIMIT,
            acknowledged: Vec::new(),
            listeners: Vec::new(),
            patients: AtomicU32::new(0),
        }
    }

    /// An address that nobody had before.
    pub(crate) fn patient(&self) -> String {
        format!("patient-{}@example.org", self.patients.fetch_add(1, Ordering::Relaxed))
    }

    /// Somebody submits a photo, is answered with 202, and follows it.
    pub(crate) async fn submit(&mut self) -> Accepted {
        self.submit_saying("").await
    }

    /// The same, with comments, which may hold directives for the simulator.
    pub(crate) async fn submit_saying(&mut self, comments: &str) -> Accepted {
        let (email, photo) = (self.patient(), photos::retina_of_its_own());
        let body = ApiClient::body(&email, comments, std::slice::from_ref(&photo));
        let answer = self.stack.client.post(&body, None).await.expect("an answer");
        self.acknowledge(answer, &email, comments, &[photo]).await
    }

    /// `count` submissions, one after the other.
    pub(crate) async fn submit_many(&mut self, count: usize) -> Vec<Accepted> {
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
        let body = ApiClient::body(email, "", &photos);
        let (client, key) = (self.stack.client.clone(), key.map(str::to_owned));
        tokio::spawn(async move { client.post(&body, key.as_deref()).await })
    }

    /// Sends a submission in the background, again and again until it is accepted, as a client does.
    pub(crate) fn send_until_accepted(&self, email: &str, key: &str) -> JoinHandle<Response> {
        let body = ApiClient::body(email, "", &[photos::cat()]);
        let (client, key) = (self.stack.client.clone(), key.to_owned());
        tokio::spawn(async move { repeat_until_accepted(&client, &body, &key).await })
    }

    /// Notes an answer to what was sent as a promise, and has somebody listen.
    ///
    /// # Panics
    /// When it is no 202.
    pub(crate) async fn acknowledge(
        &mut self,
        answer: Response,
        email: &str,
        comments: &str,
        photos: &[Photo],
    ) -> Accepted {
        let accepted = accepted(answer).await;
        let is_new = !self
            .acknowledged
            .iter()
            .any(|one| one.accepted.submission_id == accepted.submission_id);
        if is_new {
            self.acknowledged.push(Acknowledged::new(accepted.clone(), email, comments, photos));
            self.listen(&accepted);
        }
        accepted
    }

    /// Notes what somebody else submitted, got accepted and follows: a photo and no comments.
    pub(crate) fn promise(&mut self, Followed { accepted, email, listener }: Followed) {
        self.note(Acknowledged::new(accepted, &email, "", &[photos::cat()]), listener);
    }

    /// Notes what was promised to somebody, and who listens.
    pub(crate) fn note(&mut self, promised: Acknowledged, listener: Listener) {
        self.acknowledged.push(promised);
        self.listeners.push(listener);
    }

    /// Notes an answer to what [`World::send`] sent.
    pub(crate) async fn acknowledge_sent(&mut self, answer: Response, email: &str) -> Accepted {
        self.acknowledge(answer, email, "", &[photos::cat()]).await
    }

    /// One more listener of a submission, from its first event on.
    pub(crate) fn listen(&mut self, submission: &Accepted) {
        self.listen_at(&self.stack.client.clone(), submission);
    }

    /// The same at another address of the API.
    pub(crate) fn listen_at(&mut self, client: &ApiClient, submission: &Accepted) {
        self.listeners.push(Listener::follow(client.clone(), submission.clone()));
    }

    /// Notes that staff were told that a move of theirs is done, by the audit's name of it.
    pub(crate) fn moved(&mut self, submission: &Accepted, action: &'static str) {
        self.promised(submission).moves.push(action);
    }

    /// Says how a submission may end, instead of with a result.
    pub(crate) fn ends(&mut self, submission: &Accepted, ends: &[End]) {
        self.promised(submission).ends = ends.to_vec();
    }

    /// What its patient was promised.
    ///
    /// # Panics
    /// When it was nothing.
    pub(crate) fn promised(&mut self, submission: &Accepted) -> &mut Acknowledged {
        let of_it =
            |one: &&mut Acknowledged| one.accepted.submission_id == submission.submission_id;
        self.acknowledged.iter_mut().find(of_it).expect("acknowledged")
    }

    /// Kills the worker once it is held at `boundary`, and starts another one.
    pub(crate) async fn worker_dies_at(&mut self, boundary: Failpoint) {
        self.stack.failpoints.reached(boundary).await;
        self.stack.worker.take().expect("runs").kill();
        self.stack.failpoints.release(boundary);
        self.stack.start_worker().await;
    }

    /// Kills the API once it is held at `boundary`, and starts another one.
    pub(crate) async fn api_dies_at(&mut self, boundary: Failpoint) {
        self.stack.failpoints.reached(boundary).await;
        self.stack.api.take().expect("runs").kill();
        self.stack.failpoints.release(boundary);
        self.stack.start_api().await;
    }

    /// Waits until everything has come to its end, looks at all of it from outside, judges, and ends it.
    pub(crate) async fn report(self) -> Report {
        self.report_with_ends().await.0
    }

    /// The same, and tells how many submissions and e-mails ended how.
    pub(crate) async fn report_with_ends(mut self) -> (Report, BTreeMap<String, i64>) {
        let probe = self.probe().await;
        self.settle().await;
        let mut seen = Observed::collect(&self.stack, &self.acknowledged, &self.listeners).await;
        seen.stays_away = probe.err();
        let violations = judge::judge(&self.acknowledged, &seen, self.terms);
        let submissions = self.acknowledged.len();
        self.listeners.clear();
        self.stack.stop().await;
        (Report { submissions, violations }, seen.ends())
    }

    /// I6: after the fault, and without anybody's hand, a new submission is taken and comes to its result.
    async fn probe(&mut self) -> Result<(), String> {
        self.stack.assert_alive();
        let (email, photo) = (self.patient(), photos::retina_of_its_own());
        let body = ApiClient::body(&email, "", std::slice::from_ref(&photo));
        let begun = Instant::now();
        let answer = loop {
            match self.stack.client.post(&body, None).await {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => break answer,
                other if begun.elapsed() > self.patience => {
                    return Err(format!("no submission is taken any more: {other:?}"));
                }
                Ok(_) | Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        };
        let probe = self.acknowledge(answer, &email, "", &[photo]).await;
        while begun.elapsed() < self.patience {
            let found = self.stack.store.submission(id_of(&probe)).await;
            if found.is_ok_and(|found| found.is_some_and(|found| found.status.is_final())) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err("a submission after the fault does not come to its end".to_owned())
    }

    /// Waits until nothing moves any more; gives up after a while, and leaves the verdict to the judge.
    async fn settle(&self) {
        let begun = Instant::now();
        while begun.elapsed() < self.patience && !self.is_settled().await {
            tokio::time::sleep(LOOK_EVERY).await;
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
    let begun = Instant::now();
    loop {
        match client.post(body, Some(key)).await {
            Ok(answer) if answer.status() == StatusCode::ACCEPTED => return answer,
            Ok(answer) => {
                let (status, asks) =
                    (answer.status(), answer.headers().contains_key("retry-after"));
                assert!(asks, "{status}: {:?}", answer.text().await);
            }
            Err(_) => {}
        }
        assert!(begun.elapsed() < 2 * LIMIT, "not accepted");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests;
