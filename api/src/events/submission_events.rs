//! The event stream of one submission. It ends with the terminal event.

use crate::auth::watch::AccessWatch;
use crate::events::event_hub::{DATABASE_RETRY, EventHub};
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

/// Browsers reconnect after this time.
pub(super) const CLIENT_RETRY: Duration = Duration::from_secs(2);

/// Limits the events in memory per stream, because a slow client can leave them unread.
const BATCH: usize = 100;

pub(crate) struct FollowSubmission {
    pub(crate) store: Store,
    pub(crate) hub: EventHub,
    pub(crate) submission: SubmissionId,
    /// Number of the last event that the client has.
    pub(crate) after: i32,
    pub(crate) heartbeat: Duration,
    pub(crate) watch: AccessWatch,
}

/// Data of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventBody {
    /// Id of the submission.
    #[schema(value_type = String, format = "uuid")]
    submission_id: SubmissionId,
    /// Status of the submission after the event.
    #[schema(example = "processing")]
    status: &'static str,
    /// Description of the event for the patient.
    #[schema(example = "Processing your submission...")]
    message: String,
    /// Machine-readable name of the event.
    #[schema(example = "diagnosing")]
    step: &'static str,
    /// Time of the event.
    #[schema(format = "date-time")]
    at: String,
}

#[derive(Debug, PartialEq, Eq)]
enum AfterBatch {
    /// Read again at once.
    More,
    Wait,
    End,
}

enum Wakeup {
    Read,
    Heartbeat,
    End,
}

/// A client that reconnects with the number of its last event continues with the next one, on any replica.
pub(crate) fn submission_events(
    mut follow: FollowSubmission,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    stream! {
        let _open = OpenStream::new();
        // Starts before the first query, so that no change is missed in between.
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
                    // The hub logs a warning once for all streams.
                    tracing::debug!(error = error.kind(), "event stream is waiting for the database");
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
                // The next iteration also queries the events, in case a notification was missed.
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
    /// Reads the next batch. The size is limited, because a batch stays in memory until the client has read it.
    async fn read(&self) -> Result<(Vec<Event>, AfterBatch), StoreError> {
        let next = self.read_at_most(BATCH as i64).await?;
        match before_terminal_event(next, BATCH) {
            Some(read) => Ok(read),
            // So many events after the end are rare. Only the complete list shows whether the submission was retried.
            None => Ok(to_terminal_event(self.read_at_most(i32::MAX.into()).await?)),
        }
    }

    /// Runs in its own task, because a client may disconnect at any moment, and cancelling a statement would close its
    /// database connection.
    async fn read_at_most(&self, limit: i64) -> Result<Vec<Event>, StoreError> {
        let (store, submission, after) = (self.store.clone(), self.submission, self.after);
        let read = async move { store.events_page(submission, after, limit).await };
        let done = tokio::spawn(read.in_current_span()).await;
        done.map_err(|_| StoreError::Unavailable("the query was aborted".to_owned()))?
    }
}

/// The events to send from a batch of at most `limit` events. If there may be more events, the result ends before the
/// first one that might be terminal, or is `None` if that is the first of the batch.
fn before_terminal_event(mut events: Vec<Event>, limit: usize) -> Option<(Vec<Event>, AfterBatch)> {
    if events.len() < limit {
        return Some(to_terminal_event(events));
    }
    events.truncate(active_prefix(&events));
    (!events.is_empty()).then_some((events, AfterBatch::More))
}

/// Like [`before_terminal_event`], but for the last batch.
fn to_terminal_event(events: Vec<Event>) -> (Vec<Event>, AfterBatch) {
    let (events, over) = until_terminal_event(events);
    (events, if over { AfterBatch::End } else { AfterBatch::Wait })
}

/// The number of events before the submission ended for the last time.
fn active_prefix(events: &[Event]) -> usize {
    // An event's status is that of its own transaction, not the current status of the submission.
    events.iter().rposition(|event| !event.status.is_final()).map_or(0, |last| last + 1)
}

/// The events to send, and whether the stream ends with them.
///
/// The stream ends with the terminal event and does not wait for the e-mail. If the submission was retried, the earlier
/// terminal event does not end the stream.
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
        .expect("the body is valid JSON")
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
        assert_eq!(part(&[COMPLETED, READY, MAILED]), None, "all events have to be read");
    }

    #[test]
    fn a_retried_submission_is_streamed_completely() {
        let retried = (Status::Pending, Step::Retried);
        assert_eq!(given(&[COMPLETED, READY, MAILED, retried]), (4, false));
        assert_eq!(given(&[READY, MAILED, retried, COMPLETED, READY, MAILED]), (5, true));
    }
}
