//! Tests of internationalized e-mail addresses. An address with a non-ASCII local part needs a mail server that
//! supports SMTPUTF8 (RFC 6531, section 3.2).

use super::{completed_with_mail, submit_with_rules};
use diagflow_simulators::mail::Direction;
use diagflow_tests::assertions::{delivery, mails, wait_completed_once};
use diagflow_tests::eventually::eventually;
use diagflow_tests::{Stack, StackOptions, photos};

const ADDRESS: &str = "josé.müller@bücher.example";

/// Returns all lines that the worker sent to the mail server.
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
        "only the internationalized address needs SMTPUTF8: {client_lines:?}"
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

    // The connection can still be used for an address that the server accepts.
    let other = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    wait_completed_once(&stack, &other).await;
    assert_eq!(delivery(&stack, &other).await.attempts, 1);
    assert_eq!(stack.mail.conversations().len(), 1);
    stack.stop().await;
}

/// Each pair contains an address as entered by a patient and the same address as it appears in the SMTP envelope.
const ACCEPTED: [(&str, &str); 13] = [
    ("संपर्क@डाटामेल.भारत", "संपर्क@xn--c2bd4bq1db8d.xn--h2brj9c"),
    ("jose\u{301}@example.org", "josé@example.org"),
    ("me@bu\u{308}cher.example", "me@xn--bcher-kva.example"),
    ("o'brien+clinic@example.org", "o'brien+clinic@example.org"),
    ("\u{200B}me1@example.org", "me1@example.org"),
    ("me2@example.org\u{202C}", "me2@example.org"),
    ("ｍｅ3@example.org", "me3@example.org"),
    ("me4＠example.org", "me4@example.org"),
    ("!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~@example.org"),
    ("ติดต่อ@ตัวอย่าง.ไทย", "ติดต่อ@xn--72c1a1bt4awk9o.xn--o3cw4h"),
    ("我買@屋企.香港", "我買@xn--hoqu73a.xn--j6w193g"),
    ("علي@مثال.إختبار", "علي@xn--mgbh0fb.xn--kgbechtv"),
    ("me@نامه\u{200C}ای.com", "me@xn--mgba3gch31f060k.com"),
];

#[tokio::test]
async fn every_accepted_address_receives_email() {
    let stack = Stack::start().await;

    for (entered, _) in ACCEPTED {
        stack.client.submit(entered, "itches", &[photos::retina()]).await;
    }

    for (entered, expected) in ACCEPTED {
        let mail = eventually(format!("an e-mail to {entered}"), || async {
            stack.mail.mails_to(expected).first().cloned()
        })
        .await;
        assert_eq!(mail.to, [expected], "{entered}");
        assert_eq!(mail.header("To"), Some(expected), "{entered}");
    }
    assert_eq!(stack.mail.mails().len(), ACCEPTED.len());
    stack.stop().await;
}
