//! The event stream of one submission, which ends with the terminal event.
//!
//! If the database is unavailable when a stream is opened, the stream waits for it, because an `EventSource` never
//! reconnects after an error response. Until the database responds, it is unknown whether the submission exists.

use crate::error::ApiResult;
use crate::events::event_hub::{DATABASE_RETRY, EventHub};
use crate::events::wire;
use crate::extract::last_event_id::LastEventId;
use crate::extract::time_format::rfc3339;
use crate::openapi::names::{EmailStatus, SubmissionStatus, SubmissionStep};
use crate::own_task::run_to_completion;
use async_stream::stream;
use axum::body::Bytes;
use diagflow_store::{Event, EventName, Step, Store, SubmissionId, result_message};
use futures::Stream;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Maximum number of events that a stream holds in memory for a slow client.
const BATCH: usize = 100;

pub(crate) struct FollowSubmission {
    pub(crate) store: Store,
    pub(crate) hub: EventHub,
    pub(crate) submission: SubmissionId,
    /// Whether the reader uses the submission's access token. The stream ends when the token is revoked.
    pub(crate) by_token: bool,
    pub(crate) position: Position,
    /// Interval at which an idle stream queries the events.
    pub(crate) heartbeat: Duration,
    /// Maximum time after the result for which `result_ready` is delayed to wait for the outcome of the e-mail.
    pub(crate) email_wait: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Position {
    /// Number of the last event the client has received.
    After(i32),
    /// The database did not respond when the stream was opened.
    Unknown(LastEventId),
}

/// Position at which a stream starts, according to the database.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Further events may follow the event with this number.
    After(i32),
    /// The submission is in a final state, and the client has all events.
    AllReceived,
    /// The submission does not exist or has been deleted, or the reader's access token has been revoked.
    NotFound,
    Erased,
}

pub(crate) async fn find_start(
    store: Store,
    submission: SubmissionId,
    by_token: bool,
    last: LastEventId,
) -> ApiResult<Start> {
    run_to_completion(async move {
        let Some(row) = store.submission(submission).await? else { return Ok(Start::NotFound) };
        if by_token && row.token_revoked_at.is_some() {
            return Ok(Start::NotFound);
        }
        let newest = row.last_event;
        let after = last.up_to(newest.into()).map_or(0, |id| id.try_into().unwrap_or(newest));
        if row.erased_at.is_some() {
            return Ok(if after == newest { Start::AllReceived } else { Start::Erased });
        }
        if row.deleted_at.is_some() {
            return Ok(Start::NotFound);
        }
        if row.status.is_final() {
            let (rest, _) = until_terminal_event(store.events(submission, after).await?);
            if rest.is_empty() {
                return Ok(Start::AllReceived);
            }
        }
        Ok(Start::After(after))
    })
    .await
    .flatten()
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
    /// Status of the result e-mail. If it is `planned` or `sending`, request the status document later to get the
    /// outcome. Present only with `result_ready`.
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
    /// Read the next batch immediately.
    More,
    Wait,
    /// Like `Wait`, but with a time limit.
    WaitForEmail(Duration),
    End,
}

/// Returns the event stream of a submission. A client that reconnects with the number of its last event continues with
/// the next event, regardless of which API process it reaches.
pub(crate) fn submission_events(mut follow: FollowSubmission) -> impl Stream<Item = Bytes> + Send {
    stream! {
        // Start listening before the first query, so that no change in between is missed.
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
                    tracing::debug!(error = error.code(), "event stream is waiting for the database");
                    DATABASE_RETRY
                }
            };
            // Queries the events even without a notification, in case one was missed.
            let _ = tokio::time::timeout(wait, listener.changed()).await;
        }
    }
}

impl FollowSubmission {
    async fn read(&mut self) -> ApiResult<(Vec<StreamEvent>, AfterBatch)> {
        let after = match self.position {
            Position::After(after) => after,
            Position::Unknown(last) => {
                match find_start(self.store.clone(), self.submission, self.by_token, last).await? {
                    Start::After(after) => after,
                    // If the client reconnects, it receives a 204, 404 or 410 response.
                    Start::AllReceived | Start::NotFound | Start::Erased => {
                        return Ok((Vec::new(), AfterBatch::End));
                    }
                }
            }
        };
        self.position = Position::After(after);
        let next = self.read_at_most(after, BATCH as i64).await?;
        let (events, then) = match before_terminal_event(next, BATCH) {
            Some(read) => read,
            // A whole batch of events rarely follows the end of a submission. Only the complete list shows whether the
            // submission was retried.
            None => to_terminal_event(self.read_at_most(after, i32::MAX.into()).await?),
        };
        // Checked after the events are read, so that no event after the revocation is sent.
        if self.by_token && self.is_token_revoked().await? {
            return Ok((Vec::new(), AfterBatch::End));
        }
        let is_result = |event: &Event| event.step == Step::ResultReady;
        let is_ready = then == AfterBatch::End && events.last().is_some_and(is_result);
        let mut events: Vec<_> = events.into_iter().map(StreamEvent::new).collect();
        match is_ready {
            true => self.wait_for_email(&mut events).await.map(|then| (events, then)),
            false => Ok((events, then)),
        }
    }

    async fn read_at_most(&self, after: i32, limit: i64) -> ApiResult<Vec<Event>> {
        let (store, submission) = (self.store.clone(), self.submission);
        let events =
            run_to_completion(async move { store.events_page(submission, after, limit).await });
        Ok(events.await??)
    }

    async fn is_token_revoked(&self) -> ApiResult<bool> {
        let (store, submission) = (self.store.clone(), self.submission);
        let revoked = run_to_completion(async move { store.is_token_revoked(submission).await });
        Ok(revoked.await??)
    }

    /// Holds back the last event, `result_ready`, for up to `email_wait`, because its message depends on whether the
    /// e-mail was sent.
    async fn wait_for_email(&self, events: &mut Vec<StreamEvent>) -> ApiResult<AfterBatch> {
        let (store, submission) = (self.store.clone(), self.submission);
        let email =
            run_to_completion(async move { store.result_email(submission).await }).await??;
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

/// Returns the events to send from a batch of at most `limit` events. If further events may follow, the returned events
/// end before the first one that might be terminal. Returns `None` if even the first event of the batch might be
/// terminal.
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

/// Returns the number of events before the submission ended for the last time.
fn active_prefix(events: &[Event]) -> usize {
    // The status of an event is the submission's status at that time, not its current status.
    events.iter().rposition(|event| !event.status.is_final()).map_or(0, |last| last + 1)
}

/// Returns the events to send, and whether the stream ends after them.
///
/// The stream ends with the terminal event, unless the submission was retried or erased afterwards.
fn until_terminal_event(mut events: Vec<Event>) -> (Vec<Event>, bool) {
    let going = active_prefix(&events);
    let over = going < events.len();
    let rest = events[going..].iter();
    let erased = rest.clone().position(|event| event.step == Step::Erased);
    let end = erased.or_else(|| rest.clone().position(|event| event.step.is_terminal()));
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
    fn email_events_do_not_affect_where_a_stream_ends() {
        assert_eq!(given(&[RECEIVED, COMPLETED, READY, MAILED]), (3, true));
        assert_eq!(given(&[MAILED]), (0, true));
    }

    #[test]
    fn a_batch_ends_before_an_event_that_might_be_terminal() {
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
        assert_eq!(part(&[COMPLETED, READY, MAILED]), None, "all events must be read");
    }

    #[test]
    fn the_stream_of_an_erased_submission_ends_with_its_erasure() {
        let erased = |status| (status, Step::Erased);
        assert_eq!(given(&[RECEIVED, erased(Status::Cancelled)]), (2, true));
        assert_eq!(given(&[COMPLETED, READY, erased(Status::Completed)]), (3, true));
    }

    #[test]
    fn a_retried_submission_is_streamed_completely() {
        let retried = (Status::Pending, Step::Retried);
        assert_eq!(given(&[COMPLETED, READY, MAILED, retried]), (4, false));
        assert_eq!(given(&[READY, MAILED, retried, COMPLETED, READY, MAILED]), (5, true));
    }
}
