//! One listener's stream: reads what is new, sends it, waits to be woken, and ends after the event
//! that ends the submission's story.

use super::hub::Hub;
use crate::telemetry::OpenStream;
use async_stream::stream;
use axum::response::sse;
use chrono::SecondsFormat;
use diagflow_store::{Event, Store, StoreError, SubmissionId};
use futures::Stream;
use serde::Serialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use utoipa::ToSchema;

/// After what time a browser comes back when the stream broke.
const RETRY: Duration = Duration::from_secs(2);
/// How long a stream waits before it asks a database again that did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// What a stream needs.
pub(crate) struct Follow {
    pub(crate) store: Store,
    pub(crate) hub: Hub,
    pub(crate) submission: SubmissionId,
    /// Number of the last event that the listener already has.
    pub(crate) after: i32,
    pub(crate) heartbeat: Duration,
    pub(crate) closing: CancellationToken,
}

/// The data of one event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventBody {
    /// The submission that it tells of.
    #[schema(value_type = String, format = "uuid")]
    submission_id: SubmissionId,
    /// Where the submission stood then.
    #[schema(example = "processing")]
    status: &'static str,
    /// What to show.
    #[schema(example = "Processing your submission...")]
    message: String,
    /// What happened.
    #[schema(example = "diagnosing")]
    step: &'static str,
    /// When it happened (UTC).
    #[schema(format = "date-time")]
    at: String,
}

/// Why a stream stopped waiting.
enum Next {
    Read,
    SayAlive,
    End,
}

/// Follows a submission. Any listener may come back with the number of the last event that it got:
/// what it gets then begins with the next one, whichever replica it reaches.
pub(crate) fn follow(
    mut follow: Follow,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    stream! {
        let _open = OpenStream::new();
        // Before the first reading: see `Hub::listen`.
        let mut listener = follow.hub.listen(follow.submission);
        yield Ok(sse::Event::default().retry(RETRY));
        loop {
            let wait = match follow.read().await {
                Ok(events) => {
                    // An event is written together with the state that it tells, so the last one
                    // says whether more can come.
                    let over = events.last().is_some_and(|event| event.status.is_final());
                    for event in events {
                        follow.after = event.number;
                        yield Ok(message(event));
                    }
                    if over {
                        break;
                    }
                    follow.heartbeat
                }
                Err(error) => {
                    tracing::warn!(%error, "an event stream waits for the database");
                    PAUSE
                }
            };
            let next = tokio::select! {
                () = listener.woken() => Next::Read,
                () = tokio::time::sleep(wait) => Next::SayAlive,
                () = follow.closing.cancelled() => Next::End,
            };
            match next {
                Next::Read => {}
                // Then reads as well: a wake can be missed, an event must not.
                Next::SayAlive => yield Ok(sse::Event::default().comment("")),
                Next::End => {
                    yield Ok(sse::Event::default().retry(RETRY));
                    break;
                }
            }
        }
    }
}

impl Follow {
    /// Reads what is new, in a task of its own: a listener may go away at any moment, and a statement
    /// that is dropped in the middle spoils its connection for the next user.
    async fn read(&self) -> Result<Vec<Event>, StoreError> {
        let (store, submission, after) = (self.store.clone(), self.submission, self.after);
        let read = async move { store.events(submission, after).await }.in_current_span();
        let done = tokio::spawn(read).await;
        done.map_err(|_| StoreError::Unavailable("the reading ended early".to_owned()))?
    }
}

fn message(event: Event) -> sse::Event {
    let body = EventBody {
        submission_id: event.submission_id,
        status: event.status.name(),
        message: event.message,
        step: event.step.name(),
        at: event.created_at.and_utc().to_rfc3339_opts(SecondsFormat::Millis, true),
    };
    sse::Event::default()
        .event(event.name.to_string())
        .id(event.number.to_string())
        .json_data(body)
        .expect("texts and numbers become JSON")
}
