//! Tests of mail server failures. The submission stays completed, the patient gets at most one e-mail, and the ledger
//! records the outcome.

mod addresses;
mod content;
mod interrupted;
mod superseded;
mod unreadable;

use diagflow_simulators::mail::{Action, Direction, Rule, Script, Step};
use diagflow_store::Delivery;
use diagflow_tests::assertions::{delivery, executions, mails, wait_completed_once};
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, history, photos};
use serde_json::json;

/// Starts a stack whose mail server follows the given rules and sends one submission.
async fn submit_with_rules(rules: impl IntoIterator<Item = Rule>) -> (Stack, AcceptedSubmission) {
    let mut options = StackOptions::default();
    options.mail.script = Script::new(rules.into_iter().collect()).expect("a script");
    Stack::with_submission(options).await
}

/// Waits until the run is closed, then asserts that the submission is completed and that its e-mail has the given
/// status.
async fn completed_with_mail(
    stack: &Stack,
    submission: &AcceptedSubmission,
    status: &str,
) -> Delivery {
    assert_eq!(history::wait_until_closed(stack, submission).await, "Completed");
    let document = stack.client.status(submission).await.expect("a response");
    assert_eq!(document["status"], "completed", "{document}");
    assert_eq!(document["email_status"], status, "{document}");
    assert!(document["result"].is_object(), "{document}");
    let delivery = delivery(stack, submission).await;
    assert_eq!(delivery.status.to_string(), status);
    assert!(delivery.settled_at.is_some());
    delivery
}

/// Returns the step of the submission's last event.
async fn last_step(stack: &Stack, submission: &AcceptedSubmission) -> String {
    let document = stack.client.status(submission).await.expect("a response");
    document["step"].as_str().expect("a step").to_owned()
}

/// Returns the notes in the mail server's log of SMTP conversations.
fn server_notes(stack: &Stack) -> impl Iterator<Item = String> {
    let lines = stack.mail.conversations().into_iter().flat_map(|talk| talk.lines);
    lines.filter(|line| line.direction == Direction::Note).map(|line| line.text)
}

#[tokio::test]
async fn greylisting_delays_the_email() {
    let (stack, accepted) = submit_with_rules([Rule::greylisting()]).await;

    wait_completed_once(&stack, &accepted).await;

    assert_eq!(delivery(&stack, &accepted).await.attempts, 2);
    assert_eq!(last_step(&stack, &accepted).await, "mail_sent");
    stack.stop().await;
}

#[tokio::test]
async fn an_email_is_retried_while_the_mail_server_is_busy() {
    let busy = [
        Rule::reply(Step::Connect, 421, "4.3.2 Shutting down").times(1),
        Rule::reply(Step::Ehlo, 421, "4.3.2 Too many connections").times(1),
        Rule::reply(Step::Mail, 452, "4.3.1 Disk full").times(1),
    ];
    let (stack, accepted) = submit_with_rules(busy).await;

    wait_completed_once(&stack, &accepted).await;

    assert_eq!(delivery(&stack, &accepted).await.attempts, 4);
    stack.stop().await;
}

#[tokio::test]
async fn an_email_is_retried_if_the_mail_server_rejects_its_sender() {
    let refusals = [
        Rule::reply(Step::Mail, 550, "5.7.1 Not your address").times(1),
        Rule::reply(Step::Data, 554, "5.7.0 Not from you").times(1),
    ];
    let (stack, accepted) = submit_with_rules(refusals).await;

    wait_completed_once(&stack, &accepted).await;

    assert_eq!(delivery(&stack, &accepted).await.attempts, 3);
    stack.stop().await;
}

#[tokio::test]
async fn a_rejected_recipient_is_recorded_and_fails_only_the_email() {
    let refusal = Rule::reply(Step::Rcpt, 550, "5.1.1 No such user here");
    let (stack, accepted) = submit_with_rules([refusal]).await;

    let delivery = completed_with_mail(&stack, &accepted, "failed").await;

    assert_eq!((delivery.attempts, delivery.error_code.as_deref()), (1, Some("smtp_rejected")));
    assert!(delivery.error_detail.is_some_and(|words| words.contains("No such user here")));
    assert_eq!(last_step(&stack, &accepted).await, "mail_failed");
    assert!(stack.mail.mails().is_empty());
    stack.stop().await;
}

#[tokio::test]
async fn a_rejected_message_is_recorded_and_fails_only_the_email() {
    let refusal = Rule::reply(Step::Body, 554, "5.7.1 Looks like spam");
    let (stack, accepted) = submit_with_rules([refusal]).await;

    let delivery = completed_with_mail(&stack, &accepted, "failed").await;

    assert_eq!((delivery.attempts, delivery.error_code.as_deref()), (1, Some("smtp_rejected")));
    stack.stop().await;
}

#[tokio::test]
async fn an_email_that_may_have_been_accepted_is_never_resent() {
    let drop = Rule::new(Step::Body, Action::DropAfterAccept).times(1);
    let (stack, accepted) = submit_with_rules([drop]).await;

    let delivery = completed_with_mail(&stack, &accepted, "unknown").await;
    assert_eq!((delivery.attempts, delivery.error_code.as_deref()), (1, Some("smtp_no_response")));
    assert_eq!(last_step(&stack, &accepted).await, "mail_unknown");

    history::reset(&stack, &accepted).await;
    completed_with_mail(&stack, &accepted, "unknown").await;

    assert_eq!(mails(&stack, &accepted).len(), 1, "the server must accept the e-mail once");
    assert_eq!(executions(&stack, &accepted).len(), 1, "LoopAI received a second request");
    stack.stop().await;
}

#[tokio::test]
async fn an_email_is_marked_unknown_if_the_connection_is_lost_while_sending_it() {
    // If the connection is lost before the reply arrives, the sender cannot tell whether the message was accepted.
    let (stack, accepted) = submit_with_rules([Rule::new(Step::Body, Action::Drop).times(1)]).await;

    let delivery = completed_with_mail(&stack, &accepted, "unknown").await;

    assert_eq!(delivery.attempts, 1);
    assert!(stack.mail.mails().is_empty());
    stack.stop().await;
}

#[tokio::test]
async fn an_email_is_marked_unknown_if_the_server_does_not_reply_to_the_message() {
    let mut options = StackOptions::default().with("SMTP_RESPONSE_TIMEOUT_SECONDS", "1");
    let silence = Rule::new(Step::Body, Action::StallAfterAccept);
    options.mail.script = Script::new(vec![silence]).expect("a script");
    let (stack, accepted) = Stack::with_submission(options).await;

    let delivery = completed_with_mail(&stack, &accepted, "unknown").await;

    assert_eq!((delivery.attempts, delivery.error_code.as_deref()), (1, Some("smtp_no_response")));
    assert_eq!(mails(&stack, &accepted).len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_reset_does_not_resend_a_sent_email() {
    let (stack, accepted) = submit_with_rules([]).await;
    wait_completed_once(&stack, &accepted).await;

    history::reset(&stack, &accepted).await;

    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn an_email_is_retried_if_the_connection_is_lost_before_the_message() {
    let breaks = [
        Rule::new(Step::Connect, Action::Drop).times(1),
        Rule::new(Step::Rcpt, Action::Drop).times(1),
        Rule::new(Step::Data, Action::Drop).times(1),
    ];
    let (stack, accepted) = submit_with_rules(breaks).await;

    wait_completed_once(&stack, &accepted).await;

    assert_eq!(delivery(&stack, &accepted).await.attempts, 4);
    stack.stop().await;
}

#[tokio::test]
async fn an_email_is_retried_if_the_server_does_not_reply_before_the_message() {
    let (stack, accepted) =
        submit_with_rules([Rule::new(Step::Rcpt, Action::Stall).times(1)]).await;

    wait_completed_once(&stack, &accepted).await;

    assert_eq!(delivery(&stack, &accepted).await.attempts, 2);
    stack.stop().await;
}

#[tokio::test]
async fn one_smtp_connection_carries_several_emails() {
    let (stack, first) = submit_with_rules([]).await;
    wait_completed_once(&stack, &first).await;

    let second = stack.client.submit("ben@example.org", "itches too", &[photos::retina()]).await;

    wait_completed_once(&stack, &second).await;
    let conversations = stack.mail.conversations();
    assert_eq!(conversations.len(), 1, "{conversations:?}");
    stack.stop().await;
}

#[tokio::test]
async fn every_attempt_carries_the_same_message_id() {
    let full = Rule::reply(Step::Body, 452, "4.3.1 Insufficient storage").times(2);
    let (stack, accepted) = submit_with_rules([full]).await;

    wait_completed_once(&stack, &accepted).await;

    let ids: Vec<_> = server_notes(&stack)
        .filter_map(|note| Some(note.split_once("Message-ID: ")?.1.to_owned()))
        .collect();
    let sent = mails(&stack, &accepted)[0].message_id.clone().expect("an id");
    assert_eq!(ids, [sent.clone(), sent.clone(), sent]);
    stack.stop().await;
}

#[tokio::test]
async fn the_logs_contain_no_patient_data() {
    let refusals = [
        Rule::reply(Step::Rcpt, 450, "4.2.0 <ana@example.org>: Recipient address rejected")
            .times(1),
        Rule::reply(Step::Body, 452, "4.2.2 mailbox of ana@example.org is full").times(1),
        Rule::reply(Step::Rcpt, 550, "5.1.1 <ben@example.org>: unknown")
            .only_for("ben@example.org"),
    ];
    let (stack, accepted) = submit_with_rules(refusals).await;
    wait_completed_once(&stack, &accepted).await;
    let other = stack.client.submit("ben@example.org", "itches too", &[photos::retina()]).await;
    let refused = history::wait_until_closed(&stack, &other).await;
    assert_eq!(refused, "Completed");

    let api = stack.api.as_ref().expect("an API").log();
    let worker = stack.worker.as_ref().expect("a worker").log();
    for code in ["450", "452", "550"] {
        assert!(
            worker.contains(code),
            "the reply code {code} is not in the worker's log: {worker}"
        );
    }
    for word in ["ana@", "ben@", "example.org", "itches", photos::retina().name] {
        assert!(!api.contains(word), "the API's log contains {word:?}: {api}");
        assert!(!worker.contains(word), "the worker's log contains {word:?}: {worker}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn text_in_any_script_arrives_unchanged() {
    const COMMENTS: &str = "Größe 3 µm <b>rot</b> — 痛い, مرحبا 🩺\n.\n.Punkt & \"Anführung\"";
    const SUMMARY: &str = "Zoë & Søren <script>alert('診断')</script>: مرحبا 🩺 1 < 2";
    let mut options = StackOptions::default().scenario("stuck");
    options.variables.insert("MAIL_FROM", "Dr. Müller · 診療所 <no-reply@diagflow.example>".into());
    let stack = Stack::with(options).await;
    let accepted = stack.client.submit("ana@example.org", COMMENTS, &[photos::retina()]).await;
    let execution = stack.wait_for_polls(1).await;

    assert_eq!(executions(&stack, &accepted)[0].comments.as_deref(), Some(COMMENTS));
    // The summary begins with dots because SMTP escapes a dot at the start of a line.
    let summary = format!("..{SUMMARY}");
    let result = json!({"summary": summary, "recommendations": ["ß".repeat(2000)]});
    stack.loopai.complete_with(&execution, result).expect("in progress");

    wait_completed_once(&stack, &accepted).await;
    let mail = &mails(&stack, &accepted)[0];
    let text = mail.text.as_deref().expect("text").replace("\r\n", "\n");
    let html = mail.html.as_deref().expect("HTML").replace("\r\n", "\n");
    for expected in [&format!("\n{summary}\n"), &"ß".repeat(2000)] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    let escaped = SUMMARY.replace('&', "&#38;").replace('<', "&#60;").replace('>', "&#62;");
    let escaped = escaped.replace('\'', "&#39;");
    assert!(html.contains(&escaped), "{escaped:?} in {html}");
    assert!(!html.contains("<script"), "{html}");
    assert_eq!(mail.header("From"), Some("Dr. Müller · 診療所 <no-reply@diagflow.example>"));
    assert!(
        mail.raw.is_ascii(),
        "an e-mail with non-ASCII bytes needs a server that supports 8BITMIME"
    );
    assert!(!text.contains("rot"), "the e-mail contains the patient's comments");
    stack.stop().await;
}

#[tokio::test]
async fn a_huge_result_does_not_produce_a_huge_email() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default().scenario("stuck")).await;
    let execution = stack.wait_for_polls(1).await;
    let long = "lorem ipsum ".repeat(100_000);
    let many: Vec<_> = (0..2000).map(|n| json!({"label": format!("finding {n}")})).collect();
    let result = json!({"summary": long, "findings": many, "raw": long, "recommendations": [long]});

    stack.loopai.complete_with(&execution, result.clone()).expect("in progress");

    let document = wait_completed_once(&stack, &accepted).await;
    assert!(document["result"] == result, "the stored result was changed");
    let mail = &mails(&stack, &accepted)[0];
    assert!(mail.size < 250_000, "the e-mail has {} bytes", mail.size);
    stack.stop().await;
}
