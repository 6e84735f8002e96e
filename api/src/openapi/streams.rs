//! Schemas for the event streams. OpenAPI 3.1 has no notation for server-sent events. Client generators that support
//! them interpret the schema of `text/event-stream` as the data of one event.

use crate::events::all_events::ChangeBody;
use crate::events::submission_events::EventBody;
use crate::openapi::names::EmailStatus;
use utoipa::ToSchema;

/// Data of a submission event.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents the stream")]
pub(crate) enum SubmissionEvent {
    StatusUpdate(EventBody),
    ResultReady(ResultReadyEvent),
}

/// Data of the event `result_ready`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the stream")]
pub(crate) struct ResultReadyEvent {
    #[serde(flatten)]
    update: EventBody,
    /// Status of the result e-mail. If it is `planned` or `sending`, request the status document later to get the
    /// outcome.
    email_status: Option<EmailStatus>,
}

/// Data of an event about the list of submissions.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents the stream")]
pub(crate) enum SubmissionListEvent {
    SubmissionChanged(ChangeBody),
    ListChanged(ListChangedEvent),
}

/// Data of the event `list_changed`: an empty object.
#[derive(ToSchema)]
pub(crate) struct ListChangedEvent {}
