//! Internationalized addresses. A non-ASCII local part needs a mail server that offers SMTPUTF8
//! (RFC 6531, section 3.2).

use super::{completed_with_mail, submit_with_rules};
use diagflow_simulators::mail::Direction;
use diagflow_tests::assertions::{delivery, mails, wait_completed_once};
use diagflow_tests::{Stack, StackOptions, photos};

const ADDRESS: &str = "josé.müller@bücher.example";

/// Everything that the worker sent to the mail server.
fn client_lines(stack: &Stack) -> Vec<String> {
    let lines = stack.mail.conversations().into_iter().flat_map(|talk| talk.lines);
    lines.filter(|line| line.direction == Direction::In).map(|line| line.text).collect()
}

#[tokio::test]
async fn an_internationalized_address_receives_email() {
    let (stack, _) = submit_with_rules([]).await;

    let accepted = stack.client.submit(ADDRESS, "itches", &[photos::retina()]).await;

    wait_completed_once(&stack, &accepted).await;
    let mail = &mails(&stack, &accepted)[0];
    assert_eq!(mail.to, ["josé.müller@xn--bcher-kva.example"]);
    let client_lines = client_lines(&stack);
    let with_smtputf8 =
        |line: &&String| line.starts_with("MAIL FROM:") && line.ends_with(" SMTPUTF8");
    assert_eq!(
        client_lines.iter().filter(with_smtputf8).count(),
        1,
        "for this address only: {client_lines:?}"
    );
    stack.stop().await;
}

#[tokio::test]
async fn an_internationalized_domain_needs_no_smtputf8() {
    let mut options = StackOptions::default();
    options.mail.smtputf8 = false;
    let stack = Stack::with(options).await;

    let accepted = stack.client.submit("ana@bücher.example", "", &[photos::retina()]).await;

    wait_completed_once(&stack, &accepted).await;
    assert_eq!(mails(&stack, &accepted)[0].to, ["ana@xn--bcher-kva.example"]);
    stack.stop().await;
}

#[tokio::test]
async fn an_internationalized_address_is_not_sent_without_smtputf8() {
    let mut options = StackOptions::default();
    options.mail.smtputf8 = false;
    let stack = Stack::with(options).await;

    let accepted = stack.client.submit(ADDRESS, "itches", &[photos::retina()]).await;
    let failed = completed_with_mail(&stack, &accepted, "failed").await;

    assert_eq!((failed.attempts, failed.error_code.as_deref()), (1, Some("smtp_no_utf8")));
    assert!(stack.mail.mails().is_empty());
    let client_lines = client_lines(&stack);
    assert!(!client_lines.iter().any(|line| line.starts_with("MAIL")), "{client_lines:?}");

    // The connection stays usable for an address that the server accepts.
    let other = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    wait_completed_once(&stack, &other).await;
    assert_eq!(delivery(&stack, &other).await.attempts, 1);
    assert_eq!(stack.mail.conversations().len(), 1);
    stack.stop().await;
}
