//! Tests that the message of the `result_ready` event depends on the state of the e-mail.

use super::open;
use diagflow_simulators::mail::{Action, Rule, Script, Step};
use diagflow_tests::assertions::delivery;
use diagflow_tests::{AcceptedSubmission, SseEvent, Stack, StackOptions, eventually, photos};
use serde_json::Value;

const SENT: &str = "Your results are ready! Check your email.";
const NOT_YET_SENT: &str = "Your results are ready! We will e-mail them to you as soon as we can.";

/// Starts a stack whose mail server follows `rule`, and sends a submission. Event streams wait `wait` seconds for the
/// outcome of the e-mail.
async fn submit_with_rule(rule: Rule, wait: &str) -> (Stack, AcceptedSubmission) {
    let mut options = StackOptions::default()
        .with("EVENTS_EMAIL_WAIT_SECONDS", wait)
        .with("SMTP_RESPONSE_TIMEOUT_SECONDS", "1");
    options.mail.script = Script::new(vec![rule]).expect("a script");
    let stack = Stack::with(options).await;
    let submission = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    (stack, submission)
}

async fn last_event(stack: &Stack, submission: &AcceptedSubmission) -> SseEvent {
    let mut stream = open(&stack.client, submission).await;
    stream.read_to_end().await;
    let last = stream.events().pop().expect("events");
    assert_eq!(last.name, "result_ready");
    last
}

/// Returns the message and the e-mail status in a submission's status document.
async fn shown(stack: &Stack, submission: &AcceptedSubmission) -> (Value, Value) {
    let document = stack.client.status(submission).await.expect("a response");
    (document["message"].clone(), document["email_status"].clone())
}

#[tokio::test]
async fn the_stream_refers_to_the_inbox_once_the_email_is_sent() {
    let deferral = Rule::reply(Step::Rcpt, 451, "4.7.1 Later");
    let (stack, submission) = submit_with_rule(deferral, "600").await;
    let mut stream = open(&stack.client, &submission).await;
    stream.read_until(|text| text.contains(r#""step":"completed""#)).await;
    eventually("a second attempt to fail", || async {
        (delivery(&stack, &submission).await.attempts == 2).then_some(())
    })
    .await;
    assert!(!stream.text().contains("Check your email"), "{}", stream.text());
    assert!(
        !stream.text().contains("result_ready"),
        "`result_ready` was sent before the e-mail: {}",
        stream.text()
    );

    stack.mail.set_script([]).expect("a script");

    stream.read_to_end().await;
    let events = stream.events();
    let last = events.last().expect("events");
    assert_eq!((last.name.as_str(), last.id), ("result_ready", 4));
    assert_eq!((&last.data["message"], &last.data["email_status"]), (&SENT.into(), &"sent".into()));
    assert_eq!(shown(&stack, &submission).await, (SENT.into(), "sent".into()));
    stack.stop().await;
}

#[tokio::test]
async fn the_stream_does_not_wait_long_for_the_email() {
    let deferral = Rule::reply(Step::Rcpt, 451, "4.7.1 Later");
    let (stack, submission) = submit_with_rule(deferral, "0.5").await;

    let last = last_event(&stack, &submission).await;

    assert_eq!(last.data["message"], NOT_YET_SENT);
    assert_eq!(last.data["email_status"], "planned");
    assert_eq!(shown(&stack, &submission).await, (NOT_YET_SENT.into(), "planned".into()));
    // The status document later shows the outcome of the e-mail.
    stack.mail.set_script([]).expect("a script");
    eventually("the e-mail to be sent", || async {
        (shown(&stack, &submission).await == (SENT.into(), "sent".into())).then_some(())
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn the_stream_does_not_promise_an_email_that_failed_or_may_have_failed() {
    for (rule, status, advice) in [
        (Rule::reply(Step::Rcpt, 550, "5.1.1 No such user"), "failed", "could not e-mail them"),
        (Rule::new(Step::Body, Action::StallAfterAccept), "unknown", "do not know whether"),
    ] {
        let (stack, submission) = submit_with_rule(rule, "600").await;

        let last = last_event(&stack, &submission).await;

        let message = last.data["message"].as_str().expect("a message");
        assert!(message.starts_with("Your results are ready"), "{message}");
        assert!(message.contains(advice) && message.contains("contact us"), "{message}");
        assert!(!message.contains("Check your email"), "{message}");
        assert_eq!(last.data["email_status"], status);
        assert_eq!(shown(&stack, &submission).await, (message.into(), status.into()));
        stack.stop().await;
    }
}
