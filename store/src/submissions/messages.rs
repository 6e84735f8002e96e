//! Messages for patients, shown in a submission's events and status document.

use crate::deliveries::model::DeliveryStatus;
use crate::submissions::status::Status;
use crate::submissions::steps::Step;

/// Message for a submission that waits because staff have paused requests to LoopAI.
pub const PAUSED_MESSAGE: &str = "Diagnoses are paused at the moment. Your submission is waiting and will \
    continue automatically.";

/// If a submission ended without a result, describes what happened and what the patient can do.
pub fn end_message(status: Status) -> Option<&'static str> {
    match status {
        Status::Pending | Status::Processing | Status::Completed => None,
        Status::Failed => Some(
            "We could not complete your diagnosis. Please send your photos again, or see a doctor.",
        ),
        Status::TimedOut => Some(
            "Your diagnosis took too long, so we stopped it. Please send your photos again later, or see a doctor.",
        ),
        Status::Cancelled => Some(
            "Your submission was cancelled. If you still want a diagnosis, please send your photos again.",
        ),
    }
}

/// Returns the last message of a successful run. `email` is the delivery's status, if there is one.
pub fn result_message(email: Option<DeliveryStatus>) -> &'static str {
    match email {
        // The existing front end shows this text, so it must not change.
        Some(DeliveryStatus::Sent) => "Your results are ready! Check your email.",
        Some(DeliveryStatus::Unknown) => {
            "Your results are ready. We tried to e-mail them to you, but we do not know whether the e-mail arrived. \
             If you cannot find the e-mail, please contact us."
        }
        Some(DeliveryStatus::Failed) => {
            "Your results are ready, but we could not e-mail them to you. If you do not see them on this page, \
             please contact us."
        }
        None | Some(DeliveryStatus::Planned | DeliveryStatus::Sending) => {
            "Your results are ready! We will e-mail them to you as soon as we can."
        }
    }
}

/// Returns an event's message. `status` is the submission's status after the event.
pub(crate) fn event_message(step: Step, status: Status) -> String {
    let is_completed = status == Status::Completed;
    match step {
        Step::Received => "We have received your submission.".to_owned(),
        Step::Waiting => {
            "The diagnosis service cannot accept your submission yet. Your submission is waiting and will continue \
             automatically."
                .to_owned()
        }
        Step::Diagnosing => "Processing your submission...".to_owned(),
        Step::Completed => "Your diagnosis is complete.".to_owned(),
        // When this event is stored, the e-mail has not been sent yet.
        Step::ResultReady => result_message(None).to_owned(),
        Step::Failed | Step::TimedOut | Step::Cancelled => {
            after_end_message(status, "We will also send you an e-mail about this.")
        }
        Step::Retried => "Your submission has been restarted.".to_owned(),
        Step::MailSent if is_completed => result_message(Some(DeliveryStatus::Sent)).to_owned(),
        Step::MailUnknown if is_completed => {
            result_message(Some(DeliveryStatus::Unknown)).to_owned()
        }
        Step::MailFailed if is_completed => result_message(Some(DeliveryStatus::Failed)).to_owned(),
        Step::MailSent => after_end_message(status, "We have sent you an e-mail about this."),
        Step::MailUnknown => after_end_message(
            status,
            "We tried to send you an e-mail about this, but we do not know whether the e-mail arrived.",
        ),
        Step::MailFailed => {
            after_end_message(status, "We could not send you an e-mail about this.")
        }
        Step::Deleted => "Your submission was deleted.".to_owned(),
        Step::Restored => "Your submission was restored.".to_owned(),
        Step::Erased => "Your photos, your comments and your result were deleted.".to_owned(),
    }
}

/// Appends a sentence about the e-mail to the message that a submission has ended. If the status is not final, the
/// submission was retried while the e-mail was being sent.
fn after_end_message(status: Status, sentence: &str) -> String {
    let end = end_message(status).unwrap_or("Your earlier diagnosis has ended.");
    format!("{end} {sentence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::IntoEnumIterator;

    #[test]
    fn events_and_the_status_document_give_the_same_advice_if_there_is_no_result() {
        for (step, status) in [
            (Step::Failed, Status::Failed),
            (Step::TimedOut, Status::TimedOut),
            (Step::Cancelled, Status::Cancelled),
        ] {
            let advice = end_message(status).expect("an end");
            assert!(advice.contains("send your photos again"), "{advice}");
            for step in [step, Step::MailSent, Step::MailUnknown, Step::MailFailed] {
                let message = event_message(step, status);
                assert!(message.starts_with(advice), "{message}");
            }
        }
    }

    #[test]
    fn patients_are_asked_to_check_their_inbox_only_once_the_email_is_sent() {
        let check = "Your results are ready! Check your email.";
        assert_eq!(result_message(Some(DeliveryStatus::Sent)), check);
        assert_eq!(event_message(Step::MailSent, Status::Completed), check);
        for other in [
            None,
            Some(DeliveryStatus::Planned),
            Some(DeliveryStatus::Sending),
            Some(DeliveryStatus::Unknown),
            Some(DeliveryStatus::Failed),
        ] {
            let message = result_message(other);
            assert!(message.starts_with("Your results are ready"), "{message}");
            assert!(!message.contains("Check your email"), "{other:?}: {message}");
        }
        for uncertain in [DeliveryStatus::Unknown, DeliveryStatus::Failed] {
            assert!(result_message(Some(uncertain)).contains("please contact us"), "{uncertain}");
        }
        assert_eq!(event_message(Step::ResultReady, Status::Completed), result_message(None));
    }

    #[test]
    fn every_message_fits_into_its_database_column() {
        for (step, status) in
            Step::iter().flat_map(|step| Status::ALL.iter().map(move |status| (step, *status)))
        {
            let message = event_message(step, status);
            assert!(message.ends_with(['.', '!']) && message.len() <= 500, "{step}: {message}");
        }
    }
}
