//! What the world outside was promised: each submission that got its 202, each move of staff that was
//! acknowledged, and what listeners heard.

use crate::client::{Accepted, ApiClient, events_of};
use crate::photos::Photo;
use diagflow_store::Sha256;
use futures::StreamExt;
use reqwest::StatusCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The consent text of every world.
pub(crate) const CONSENT_VERSION: &str = "of-the-fault-table";

/// A submission that was answered with 202.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    /// The answer.
    pub(crate) accepted: Accepted,
    /// Where its e-mails go.
    pub(crate) email: String,
    /// What was said.
    pub(crate) comments: String,
    /// The digests of the photos that were sent, in their order.
    pub(crate) photos: Vec<String>,
    /// The consent text that it was sent under.
    pub(crate) consent_version: String,
    /// Moves of staff that were acknowledged, as the audit names them.
    pub(crate) moves: Vec<&'static str>,
    /// How it may end; at first, only with a result.
    pub(crate) ends: Vec<End>,
}

/// How a submission may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Its state.
    pub(crate) status: &'static str,
    code: Option<&'static str>,
}

impl End {
    pub(crate) const COMPLETED: End = End { status: "completed", code: None };
    pub(crate) const CANCELLED: End = End { status: "cancelled", code: Some("cancelled") };
    pub(crate) const TIMED_OUT: End = End { status: "timed_out", code: Some("deadline_exceeded") };

    /// Without a result, for this reason.
    pub(crate) const fn failed(code: &'static str) -> End {
        End { status: "failed", code: Some(code) }
    }

    /// Whether it is what the records say.
    pub(crate) fn is(self, status: &str, code: Option<&str>) -> bool {
        (self.status, self.code) == (status, code)
    }
}

/// One event as a listener heard it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Its number.
    pub(crate) number: i64,
    /// The state that it told.
    pub(crate) status: String,
    /// What happened.
    pub(crate) step: String,
}

/// Somebody who follows a submission, and comes back whenever the stream breaks.
pub(crate) struct Listener {
    /// Whom it follows.
    pub(crate) submission_id: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    refused: Arc<Mutex<Vec<StatusCode>>>,
    following: JoinHandle<()>,
}

/// Pause before a stream that broke is opened again.
const PAUSE: Duration = Duration::from_millis(50);

impl Acknowledged {
    /// As it was sent.
    pub(crate) fn new(
        accepted: Accepted,
        email: &str,
        comments: &str,
        photos: &[Photo],
    ) -> Acknowledged {
        Acknowledged {
            accepted,
            email: email.to_owned(),
            comments: comments.to_owned(),
            photos: photos.iter().map(|photo| Sha256::of(&photo.bytes).to_string()).collect(),
            consent_version: CONSENT_VERSION.to_owned(),
            moves: Vec::new(),
            ends: vec![End::COMPLETED],
        }
    }
}

impl Listener {
    /// Begins to follow a submission from its first event.
    pub(crate) fn follow(client: ApiClient, submission: Accepted) -> Listener {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let submission_id = submission.submission_id.clone();
        let refused = Arc::<Mutex<_>>::default();
        let following = follow(client, submission, heard.clone(), refused.clone());
        Listener { submission_id, heard, refused, following: tokio::spawn(following) }
    }

    /// Whether it was told that nothing follows.
    pub(crate) fn is_done(&self) -> bool {
        self.following.is_finished()
    }

    /// What it heard so far, in that order.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers at which a browser would have given up.
    pub(crate) fn refused(&self) -> Vec<StatusCode> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// Follows until the API says that nothing follows (204).
async fn follow(
    client: ApiClient,
    submission: Accepted,
    heard: Arc<Mutex<Vec<Heard>>>,
    refused: Arc<Mutex<Vec<StatusCode>>>,
) {
    let heard = || heard.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let last = heard().last().map(|event| event.number.to_string());
        match client.open_events(&submission, last.as_deref()).await {
            Ok(answer) if answer.status() == StatusCode::NO_CONTENT => return,
            Ok(answer) if answer.status() == StatusCode::OK => {
                let mut events = events_of(answer);
                while let Some(event) = events.next().await {
                    let text =
                        |name: &str| event.data[name].as_str().unwrap_or_default().to_owned();
                    let (status, step) = (text("status"), text("step"));
                    heard().push(Heard { number: event.id, status, step });
                }
            }
            // Asked to come again, or not heard at all.
            Ok(answer) if answer.headers().contains_key("retry-after") => {}
            Err(_) => {}
            Ok(answer) => {
                refused.lock().unwrap_or_else(PoisonError::into_inner).push(answer.status());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
