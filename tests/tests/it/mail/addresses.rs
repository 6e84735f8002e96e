//! Addresses in any script. A mail server must offer SMTPUTF8 to be sent one (RFC 6531, 3.2).

use super::{completed_with_mail, submitted};
use diagflow_simulators::mail::Direction;
use diagflow_tests::invariants::{completed_once, delivery, mails};
use diagflow_tests::{Stack, StackOptions, photos};

const ADDRESS: &str = "josé.müller@bücher.example";

/// What we said to the mail server in all conversations.
fn said(stack: &Stack) -> Vec<String> {
    let lines = stack.mail.conversations().into_iter().flat_map(|talk| talk.lines);
    lines.filter(|line| line.direction == Direction::In).map(|line| line.text).collect()
}

#[tokio::test]
async fn an_address_in_another_script_is_written_to() {
    let (stack, _) = submitted([]).await;

    let accepted = stack.client.submit(ADDRESS, "itches", &[photos::retina()]).await;

    completed_once(&stack, &accepted).await;
    let mail = &mails(&stack, &accepted)[0];
    assert_eq!(mail.to, ["josé.müller@xn--bcher-kva.example"]);
    let said = said(&stack);
    let announced = |line: &&String| line.starts_with("MAIL FROM:") && line.ends_with(" SMTPUTF8");
    assert_eq!(said.iter().filter(announced).count(), 1, "for this address alone: {said:?}");
    stack.stop().await;
}

#[tokio::test]
async fn a_domain_in_another_script_is_written_to_by_any_mail_server() {
    let mut options = StackOptions::default();
    options.mail.smtputf8 = false;
    let stack = Stack::with(options).await;

    let accepted = stack.client.submit("ana@bücher.example", "", &[photos::retina()]).await;

    completed_once(&stack, &accepted).await;
    assert_eq!(mails(&stack, &accepted)[0].to, ["ana@xn--bcher-kva.example"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_mail_server_without_such_addresses_is_not_sent_one() {
    let mut options = StackOptions::default();
    options.mail.smtputf8 = false;
    let stack = Stack::with(options).await;

    let accepted = stack.client.submit(ADDRESS, "itches", &[photos::retina()]).await;
    let failed = completed_with_mail(&stack, &accepted, "failed").await;

    assert_eq!((failed.attempts, failed.error_code.as_deref()), (1, Some("smtp_no_utf8")));
    assert!(stack.mail.mails().is_empty());
    let said_before = said(&stack);
    assert!(!said_before.iter().any(|line| line.starts_with("MAIL")), "{said_before:?}");

    // The conversation is as good as before for an address that the server takes.
    let other = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    completed_once(&stack, &other).await;
    assert_eq!(delivery(&stack, &other).await.attempts, 1);
    assert_eq!(stack.mail.conversations().len(), 1);
    stack.stop().await;
}
