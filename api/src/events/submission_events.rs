//! The event stream of one submission. It ends with the terminal event.
//!
//! A stream that is opened while the database is unavailable waits for it, because an `EventSource` never reconnects
//! after an error response. Until then it is unknown whether the submission exists.

use crate::events::event_hub::{DATABASE_RETRY, EventHub};
use crate::events::own_task::in_own_task;
use crate::events::wire;
use crate::extract::last_event_id::LastEventId;
use crate::extract::time_format::rfc3339;
use crate::openapi::names::{EmailStatus, SubmissionStatus, SubmissionStep};
use async_stream::stream;
use axum::body::Bytes;
use diagflow_store::{Event, EventName, Step, Store, StoreResult, SubmissionId, result_message};
use futures::Stream;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Limits the events in memory per stream, because a slow client can leave them unread.
const BATCH: usize = 100;

pub(crate) struct FollowSubmission {
    pub(crate) store: Store,
    pub(crate) hub: EventHub,
    pub(crate) submission: SubmissionId,
    pub(crate) position: Position,
    /// Interval at which an idle stream queries the events.
    pub(crate) heartbeat: Duration,
    /// Time since the result for which `result_ready` waits for the outcome of the e-mail.
    pub(crate) email_wait: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Position {
    /// Number of the last event that the client has.
    After(i32),
    /// The database did not respond when the stream was opened.
    Unknown(LastEventId),
}

/// Where a stream starts, according to the database.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Further events may follow the event with this number.
    After(i32),
    /// The submission is in a final state, and the client has all events.
    AllReceived,
    /// The submission does not exist or is deleted.
    NotFound,
}

pub(crate) async fn find_start(
    store: Store,
    submission: SubmissionId,
    last: LastEventId,
) -> StoreResult<Start> {
    in_own_task(async move {
        let row = store.submission(submission).await?.filter(|row| row.deleted_at.is_none());
        let Some(row) = row else { return Ok(Start::NotFound) };
        let newest = row.last_event;
        let after = last.up_to(newest.into()).map_or(0, |id| id.try_into().unwrap_or(newest));
        if row.status.is_final() {
            let (rest, _) = until_terminal_event(store.events(submission, after).await?);
            if rest.is_empty() {
                return Ok(Start::AllReceived);
            }
        }
        Ok(Start::After(after))
    })
    .await
}

/// Data of the event `status_update`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatusUpdateEvent)]
pub(crate) struct EventBody {
    /// Id of the submission.
    #[schema(value_type = String, format = "uuid")]
    submission_id: SubmissionId,
    /// Status of the submission after the event.
    status: SubmissionStatus,
    /// Description of the event for the patient.
    #[schema(example = "Processing your submission...")]
    message: String,
    /// Machine-readable name of the event.
    step: SubmissionStep,
    /// Time of the event.
    #[schema(format = "date-time")]
    at: String,
    /// Only with `result_ready`: status of the e-mail with the result. If it is `planned` or `sending`, read it again
    /// later from the status document.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    email_status: Option<EmailStatus>,
}

struct StreamEvent {
    name: EventName,
    number: i32,
    body: EventBody,
}

#[derive(Debug, PartialEq, Eq)]
enum AfterBatch {
    /// Read again at once.
    More,
    Wait,
    /// Like `Wait`, but at most for this time.
    WaitForEmail(Duration),
    End,
}

/// A client that reconnects with the number of its last event continues with the next one, on any replica.
pub(crate) fn submission_events(mut follow: FollowSubmission) -> impl Stream<Item = Bytes> + Send {
    stream! {
        // Starts before the first query, so that no change is missed in between.
        let mut listener = follow.hub.listen(follow.submission);
        yield wire::RETRY;
        loop {
            let wait = match follow.read().await {
                Ok((events, then)) => {
                    for event in events {
                        follow.position = Position::After(event.number);
                        yield wire::event(event.name, event.number, &event.body);
                    }
                    match then {
                        AfterBatch::More => continue,
                        AfterBatch::Wait => follow.heartbeat,
                        AfterBatch::WaitForEmail(left) => left.min(follow.heartbeat),
                        AfterBatch::End => break,
                    }
                }
                Err(error) => {
                    // The hub logs a warning once for all streams.
                    tracing::debug!(error = error.kind(), "event stream is waiting for the database");
                    DATABASE_RETRY
                }
            };
            // Queries the events also without a notification, in case one was missed.
            let _ = tokio::time::timeout(wait, listener.changed()).await;
        }
    }
}

impl FollowSubmission {
    /// Reads the next batch. The size is limited, because a batch stays in memory until the client has read it.
    async fn read(&mut self) -> StoreResult<(Vec<StreamEvent>, AfterBatch)> {
        let after = match self.position {
            Position::After(after) => after,
            Position::Unknown(last) => {
                match find_start(self.store.clone(), self.submission, last).await? {
                    Start::After(after) => after,
                    // The client reconnects once, and the response is 204 or 404.
                    Start::AllReceived | Start::NotFound => {
                        return Ok((Vec::new(), AfterBatch::End));
                    }
                }
            }
        };
        self.position = Position::After(after);
        let next = self.read_at_most(after, BATCH as i64).await?;
        let (events, then) = match before_terminal_event(next, BATCH) {
            Some(read) => read,
            // So many events after the end are rare. Only the complete list shows whether the submission was retried.
            None => to_terminal_event(self.read_at_most(after, i32::MAX.into()).await?),
        };
        let is_result = |event: &Event| event.step == Step::ResultReady;
        let is_ready = then == AfterBatch::End && events.last().is_some_and(is_result);
        let mut events: Vec<_> = events.into_iter().map(StreamEvent::new).collect();
        match is_ready {
            true => self.wait_for_email(&mut events).await.map(|then| (events, then)),
            false => Ok((events, then)),
        }
    }

    async fn read_at_most(&self, after: i32, limit: i64) -> StoreResult<Vec<Event>> {
        let (store, submission) = (self.store.clone(), self.submission);
        in_own_task(async move { store.events_page(submission, after, limit).await }).await
    }

    /// Holds back the last event, `result_ready`, until it is known whether the e-mail was sent, but not for long. Its
    /// message depends on that.
    async fn wait_for_email(&self, events: &mut Vec<StreamEvent>) -> StoreResult<AfterBatch> {
        let (store, submission) = (self.store.clone(), self.submission);
        let email = in_own_task(async move { store.result_email(submission).await }).await?;
        let status = email.and_then(|email| email.status);
        let left = email.map_or(Duration::ZERO, |email| self.email_wait.saturating_sub(email.age));
        if status.is_some_and(|status| !status.is_settled()) && !left.is_zero() {
            events.pop();
            return Ok(AfterBatch::WaitForEmail(left));
        }
        if let Some(last) = events.last_mut() {
            last.body.message = result_message(status).to_owned();
            last.body.email_status = status.map(EmailStatus::from);
        }
        Ok(AfterBatch::End)
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
/// The stream ends with the terminal event. If the submission was retried, the earlier terminal event does not end the
/// stream.
fn until_terminal_event(mut events: Vec<Event>) -> (Vec<Event>, bool) {
    let going = active_prefix(&events);
    let over = going < events.len();
    let end = events[going..].iter().position(|event| event.step.is_terminal());
    events.truncate(end.map_or(going, |end| going + end + 1));
    (events, over)
}

impl StreamEvent {
    fn new(event: Event) -> Self {
        let body = EventBody {
            submission_id: event.submission_id,
            status: event.status.into(),
            message: event.message,
            step: event.step.into(),
            at: rfc3339(event.created_at),
            email_status: None,
        };
        Self { name: event.name, number: event.number, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagflow_store::Status;

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
