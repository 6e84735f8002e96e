//! One listener's stream: reads what is new, sends it, waits to be woken, and ends after the event
//! that ends the submission's story.

use crate::auth::watch::AccessWatch;
use crate::events::event_hub::EventHub;
use crate::extract::time_format::rfc3339;
use crate::telemetry::OpenStream;
use async_stream::stream;
use axum::response::sse;
use diagflow_store::{Event, Store, StoreError, SubmissionId};
use futures::Stream;
use serde::Serialize;
use std::convert::Infallible;
use std::time::Duration;
use tracing::Instrument;
use utoipa::ToSchema;

/// After what time a browser comes back when the stream broke.
pub(super) const CLIENT_RETRY: Duration = Duration::from_secs(2);
/// How long a stream waits before it asks a database again that did not answer.
pub(super) const DATABASE_RETRY: Duration = Duration::from_secs(1);

/// Most events that a stream has in hand, and so keeps in memory for a listener that does not take them.
const BATCH: usize = 100;

/// What a stream needs.
pub(crate) struct FollowSubmission {
    pub(crate) store: Store,
    pub(crate) hub: EventHub,
    pub(crate) submission: SubmissionId,
    /// Number of the last event that the listener already has.
    pub(crate) after: i32,
    pub(crate) heartbeat: Duration,
    /// Ends the stream early.
    pub(crate) watch: AccessWatch,
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

/// What follows on what was read.
#[derive(Debug, PartialEq, Eq)]
enum AfterBatch {
    /// More, which is there already.
    More,
    /// What is still to happen.
    Wait,
    /// Nothing.
    End,
}

/// Why a stream stopped waiting.
enum Wakeup {
    Read,
    Heartbeat,
    End,
}

/// Follows a submission. Any listener may come back with the number of the last event that it got:
/// what it gets then begins with the next one, whichever replica it reaches.
pub(crate) fn follow_submission(
    mut follow: FollowSubmission,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    stream! {
        let _open = OpenStream::new();
        // Before the first reading: see `EventHub::listen`.
        let mut listener = follow.hub.listen(follow.submission);
        yield Ok(sse::Event::default().retry(CLIENT_RETRY));
        loop {
            let wait = match follow.read().await {
                Ok((events, then)) => {
                    for event in events {
                        follow.after = event.number;
                        yield Ok(message(event));
                    }
                    match then {
                        AfterBatch::More => continue,
                        AfterBatch::Wait => follow.heartbeat,
                        AfterBatch::End => break,
                    }
                }
                Err(error) => {
                    // The hub warns, once for all streams.
                    tracing::debug!(error = error.kind(), "an event stream waits for the database");
                    DATABASE_RETRY
                }
            };
            let next = tokio::select! {
                () = listener.changed() => Wakeup::Read,
                () = tokio::time::sleep(wait) => Wakeup::Heartbeat,
                () = follow.watch.ended() => Wakeup::End,
            };
            match next {
                Wakeup::Read => {}
                // Then reads as well: a wake can be missed, an event must not.
                Wakeup::Heartbeat => yield Ok(sse::Event::default().comment("")),
                Wakeup::End => {
                    yield Ok(sse::Event::default().retry(CLIENT_RETRY));
                    break;
                }
            }
        }
    }
}

impl FollowSubmission {
    /// Reads what comes next. Not all at once, since whoever does not read would have it all kept in memory.
    async fn read(&self) -> Result<(Vec<Event>, AfterBatch), StoreError> {
        let next = self.read_at_most(BATCH as i64).await?;
        match before_terminal_event(next, BATCH) {
            Some(read) => Ok(read),
            // So many moves of an ended story are rare, and only all of them tell whether it was set going again.
            None => Ok(to_terminal_event(self.read_at_most(i32::MAX.into()).await?)),
        }
    }

    /// In a task of its own: a listener may go away at any moment, and a statement that is dropped in the
    /// middle costs its connection.
    async fn read_at_most(&self, limit: i64) -> Result<Vec<Event>, StoreError> {
        let (store, submission, after) = (self.store.clone(), self.submission, self.after);
        let read = async move { store.events_page(submission, after, limit).await };
        let done = tokio::spawn(read.in_current_span()).await;
        done.map_err(|_| StoreError::Unavailable("the reading ended early".to_owned()))?
    }
}

/// What a listener gets of the next events, of which `limit` were asked for. Where there may be more, that ends
/// before the first that might be the end. `None` when that is the very first.
fn before_terminal_event(mut events: Vec<Event>, limit: usize) -> Option<(Vec<Event>, AfterBatch)> {
    if events.len() < limit {
        return Some(to_terminal_event(events));
    }
    events.truncate(active_prefix(&events));
    (!events.is_empty()).then_some((events, AfterBatch::More))
}

/// The same of all events that there are.
fn to_terminal_event(events: Vec<Event>) -> (Vec<Event>, AfterBatch) {
    let (events, over) = until_terminal_event(events);
    (events, if over { AfterBatch::End } else { AfterBatch::Wait })
}

/// How many of these come before the story has ended for the last time.
fn active_prefix(events: &[Event]) -> usize {
    // An event is written together with the state that it tells.
    events.iter().rposition(|event| !event.status.is_final()).map_or(0, |last| last + 1)
}

/// What a listener gets of the events that it does not have yet, and whether its stream ends there.
///
/// It ends with the event that ends the story: how long the e-mail takes after that decides nothing.
/// Where a story was set going again, the former end is an event like any other.
pub(crate) fn until_terminal_event(mut events: Vec<Event>) -> (Vec<Event>, bool) {
    let going = active_prefix(&events);
    let over = going < events.len();
    let end = events[going..].iter().position(|event| event.step.is_terminal());
    events.truncate(end.map_or(going, |end| going + end + 1));
    (events, over)
}

fn message(event: Event) -> sse::Event {
    let body = EventBody {
        submission_id: event.submission_id,
        status: event.status.name(),
        message: event.message,
        step: event.step.name(),
        at: rfc3339(event.created_at),
    };
    sse::Event::default()
        .event(event.name.to_string())
        .id(event.number.to_string())
        .json_data(body)
        .expect("texts and numbers become JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagflow_store::{EventName, Status, Step};

    fn story(steps: &[(Status, Step)]) -> Vec<Event> {
        (1..)
            .zip(steps)
            .map(|(number, (status, step))| Event {
                submission_id: SubmissionId::new(),
                number,
                name: EventName::StatusUpdate,
                step: *step,
                status: *status,
                message: String::new(),
                created_at: diagflow_store::UtcTime::default(),
            })
            .collect()
    }

    fn given(steps: &[(Status, Step)]) -> (usize, bool) {
        let (events, over) = until_terminal_event(story(steps));
        (events.len(), over)
    }

    const RECEIVED: (Status, Step) = (Status::Pending, Step::Received);
    const COMPLETED: (Status, Step) = (Status::Completed, Step::Completed);
    const READY: (Status, Step) = (Status::Completed, Step::ResultReady);
    const MAILED: (Status, Step) = (Status::Completed, Step::MailSent);

    #[test]
    fn a_stream_ends_with_the_terminal_event() {
        assert_eq!(given(&[]), (0, false));
        assert_eq!(given(&[RECEIVED]), (1, false));
        assert_eq!(given(&[RECEIVED, COMPLETED, READY]), (3, true));
    }

    #[test]
    fn e_mail_events_do_not_change_where_a_stream_ends() {
        assert_eq!(given(&[RECEIVED, COMPLETED, READY, MAILED]), (3, true));
        assert_eq!(given(&[MAILED]), (0, true));
    }

    #[test]
    fn a_batch_stops_before_a_possible_terminal_event() {
        let part = |steps: &[(Status, Step)]| {
            let read = before_terminal_event(story(steps), 3);
            read.map(|(events, then)| (events.len(), then))
        };
        let retried = (Status::Pending, Step::Retried);
        assert_eq!(part(&[RECEIVED]), Some((1, AfterBatch::Wait)));
        assert_eq!(part(&[COMPLETED, READY]), Some((2, AfterBatch::End)));
        assert_eq!(part(&[RECEIVED, RECEIVED, RECEIVED]), Some((3, AfterBatch::More)));
        assert_eq!(part(&[RECEIVED, COMPLETED, READY]), Some((1, AfterBatch::More)));
        assert_eq!(part(&[READY, MAILED, retried]), Some((3, AfterBatch::More)));
        assert_eq!(part(&[COMPLETED, READY, MAILED]), None, "all of it has to be read");
    }

    #[test]
    fn a_retried_submission_is_streamed_completely() {
        let retried = (Status::Pending, Step::Retried);
        assert_eq!(given(&[COMPLETED, READY, MAILED, retried]), (4, false));
        assert_eq!(given(&[READY, MAILED, retried, COMPLETED, READY, MAILED]), (5, true));
    }
}
