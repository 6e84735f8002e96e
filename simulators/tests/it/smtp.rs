//! Tests for normal SMTP conversations.

use base64::{Engine, prelude::BASE64_STANDARD};
use diagflow_simulators::mail::{Direction, MailCatcher, Settings};

use crate::support::*;

#[tokio::test]
async fn a_message_is_accepted_and_stored_unchanged() {
    let catcher = catcher(Settings::default()).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    let message = "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n\
                   Content-Type: text/plain; charset=utf-8\n\n\
                   Schöne Grüße ✓\n..two dots\n.\u{200b}\nend";
    let stuffed = message.replace("\n.", "\n..");
    smtp.send(&["jo@x.example", "al@x.example"], &stuffed).await;
    assert!(smtp.read_reply().await.starts_with("250 "));
    smtp.command("QUIT", "221").await;
    assert_eq!(smtp.read_to_end().await, "");

    let mail = catcher.wait_for(|mail| mail.subject == "Grüße", LIMIT).await.expect("the message");
    assert_eq!(mail.from, "clinic@x.example");
    assert_eq!(mail.to, ["jo@x.example", "al@x.example"]);
    let sent = message.replace('\n', "\r\n") + "\r\n";
    assert_eq!(String::from_utf8_lossy(&mail.raw), sent);
    assert!(mail.text.as_ref().expect("a text").contains("Schöne Grüße ✓\r\n..two dots"));
    assert_eq!(catcher.mails_to("AL@x.example").len(), 1);
    assert_eq!(catcher.mails_to("nobody@x.example").len(), 0);
}

#[tokio::test]
async fn extensions_are_announced_and_commands_can_be_pipelined() {
    let catcher = catcher(Settings { max_message_bytes: 5000, ..Settings::default() }).await;
    let mut smtp = SmtpClient::connect(&catcher).await;
    smtp.read_reply().await;
    let hello = smtp.command("EHLO test.example", "250-").await;
    for extension in ["SIZE 5000", "8BITMIME", "SMTPUTF8", "PIPELINING"] {
        assert!(hello.contains(extension), "{hello}");
    }
    assert!(!hello.contains("AUTH"), "{hello}");
    smtp.write(
        b"MAIL FROM:<a@x.example> BODY=8BITMIME\r\nRCPT TO:<b@x.example>\r\n\
          RCPT TO:<broken>\r\nDATA\r\n",
    )
    .await;
    for code in ["250", "250", "501", "354"] {
        let reply = smtp.read_reply().await;
        assert!(reply.starts_with(code), "{code}: {reply}");
    }
    smtp.write(b"Subject: x\r\n\r\nhi\r\n.\r\nNOOP\r\n").await;
    assert!(smtp.read_reply().await.starts_with("250 "));
    assert!(smtp.read_reply().await.starts_with("250 "));
    assert_eq!(catcher.mails().len(), 1);
}

#[tokio::test]
async fn unexpected_commands_are_rejected_with_the_matching_reply_code() {
    let catcher = catcher(Settings::default()).await;
    let mut smtp = SmtpClient::connect(&catcher).await;
    smtp.read_reply().await;
    smtp.command("MAIL FROM:<a@x.example>", "503").await;
    smtp.command("HELO test.example", "250 ").await;
    smtp.command("RCPT TO:<b@x.example>", "503").await;
    smtp.command("DATA", "503").await;
    smtp.command("AUTH PLAIN", "502").await;
    smtp.command("MAIL FROM:<a@x.example> SIZE=99999999", "552").await;
    smtp.command("MAIL FROM:<ä@x.example>", "553").await;
    smtp.command("MAIL FROM:<a@x.example>", "250").await;
    smtp.command("MAIL FROM:<a@x.example>", "503").await;
    smtp.command("RCPT TO:<ü@x.example>", "553").await;
    smtp.command("RSET", "250").await;
    smtp.command("MAIL FROM:<ä@x.example> SMTPUTF8", "250").await;
    smtp.command("RCPT TO:<ü@x.example>", "250").await;
    smtp.command("VRFY jo", "252").await;
    smtp.command("HELP", "214").await;
    smtp.command("STARTTLS", "502").await;
    smtp.command("NONSENSE", "500").await;
    smtp.write(b"NOOP \xff\r\n").await;
    assert!(smtp.read_reply().await.starts_with("500"));
    smtp.write(&[b'x'; 5000]).await;
    assert!(smtp.read_reply().await.starts_with("500"));
}

#[tokio::test]
async fn smtputf8_can_be_disabled() {
    let catcher = catcher(Settings { smtputf8: false, ..Settings::default() }).await;
    let mut smtp = SmtpClient::connect(&catcher).await;
    smtp.read_reply().await;
    let hello = smtp.command("EHLO test.example", "250-").await;
    assert!(!hello.contains("SMTPUTF8"), "{hello}");
    smtp.command("MAIL FROM:<a@x.example> SMTPUTF8", "555").await;
    smtp.command("MAIL FROM:<a@x.example>", "250").await;
    smtp.command("RCPT TO:<ü@x.example>", "553").await;
}

#[tokio::test]
async fn a_bare_line_feed_does_not_end_a_message() {
    let catcher = catcher(Settings::default()).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.send(&["jo@x.example"], "Subject: x\n\none").await;
    smtp.read_reply().await;
    smtp.command("MAIL FROM:<a@x.example>", "250").await;
    smtp.command("RCPT TO:<jo@x.example>", "250").await;
    smtp.command("DATA", "354").await;
    smtp.write(b"Subject: y\r\n\r\none\n.\nQUIT\n.\r\nstill the body\r\n.\r\n").await;
    assert!(smtp.read_reply().await.starts_with("250"));
    let raw = catcher.mails()[1].raw.clone();
    let expected = "Subject: y\r\n\r\none\n.\nQUIT\n.\r\nstill the body\r\n";
    assert_eq!(String::from_utf8(raw).expect("text"), expected);
}

#[tokio::test]
async fn an_oversized_message_is_rejected_and_the_next_one_accepted() {
    let catcher = catcher(Settings { max_message_bytes: 100_000, ..Settings::default() }).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    // The message contains a line longer than any buffer, followed by a dot-stuffed line that does not end the message.
    let long = format!("Subject: x\n\n{}\n..\nmore", "x".repeat(200_000));
    smtp.send(&["jo@x.example"], &long).await;
    assert!(smtp.read_reply().await.starts_with("552"));
    smtp.send(&["jo@x.example"], "Subject: small\n\nhi").await;
    assert!(smtp.read_reply().await.starts_with("250"));
    assert_eq!(catcher.mails().len(), 1);
    assert_eq!(catcher.mails()[0].subject, "small");
}

#[tokio::test]
async fn a_long_line_is_stored_unchanged() {
    let catcher = catcher(Settings::default()).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    let line = "y".repeat(65_536 - 12).replace("yy", "y.");
    let message = format!("Subject: x\n\n{line}{line}{line}");
    smtp.send(&["jo@x.example"], &message).await;
    assert!(smtp.read_reply().await.starts_with("250"));
    let expected = message.replace('\n', "\r\n") + "\r\n";
    assert!(catcher.mails()[0].raw == expected.into_bytes());
}

fn settings_with_login() -> Settings {
    Settings {
        user: Some("clinic".to_owned()),
        password: Some("s3cret".to_owned()),
        ..Settings::default()
    }
}

fn base64(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

#[tokio::test]
async fn authentication_is_required_when_a_password_is_set() {
    let catcher = catcher(settings_with_login()).await;
    let mut smtp = SmtpClient::connect(&catcher).await;
    smtp.read_reply().await;
    let hello = smtp.command("EHLO test.example", "250-").await;
    assert!(hello.contains("AUTH PLAIN LOGIN"), "{hello}");
    smtp.command("MAIL FROM:<a@x.example>", "530").await;
    smtp.command("AUTH CRAM-MD5", "504").await;
    let wrong = base64("\0clinic\0guess");
    smtp.command(&format!("AUTH PLAIN {wrong}"), "535").await;
    smtp.command("AUTH PLAIN", "334").await;
    smtp.command("*", "501").await;
    smtp.command("AUTH PLAIN", "334").await;
    smtp.command(&base64("\0clinic\0s3cret"), "235").await;
    smtp.command("AUTH PLAIN", "503").await;
    smtp.command("MAIL FROM:<a@x.example>", "250").await;
}

#[tokio::test]
async fn auth_login_is_supported_and_passwords_are_not_logged() {
    let catcher = catcher(settings_with_login()).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.command("AUTH LOGIN", "334 VXNlcm5hbWU6").await;
    smtp.command(&base64("clinic"), "334 UGFzc3dvcmQ6").await;
    smtp.command(&base64("s3cret"), "235").await;
    let mut other = SmtpClient::greeted(&catcher).await;
    let plain = base64("\0clinic\0s3cret");
    other.command(&format!("AUTH PLAIN {plain}"), "235").await;
    let log = format!("{:?}", catcher.conversations());
    assert!(log.contains("(credentials)"), "{log}");
    assert!(!log.contains(&plain) && !log.contains(&base64("s3cret")), "{log}");
    assert!(!format!("{:?}", settings_with_login()).contains("s3cret"));
}

#[tokio::test]
async fn conversations_are_logged_without_message_bodies() {
    let catcher = catcher(Settings::default()).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.send(&["jo@x.example"], "Subject: x\n\nprivate").await;
    smtp.read_reply().await;
    smtp.command("QUIT", "221").await;
    let conversation = catcher
        .wait_for_conversation(|all| all.iter().find(|it| it.ended_at.is_some()).cloned(), LIMIT)
        .await
        .expect("the end");
    assert!(conversation.accepted);
    assert_eq!((conversation.acknowledged, conversation.mails.as_slice()), (1, [1].as_slice()));
    let logged = |direction, text: &str| {
        let mut lines = conversation.lines.iter();
        lines.any(|it| it.direction == direction && it.text.starts_with(text))
    };
    assert!(logged(Direction::In, "RCPT TO:<jo@x.example>"));
    assert!(logged(Direction::Out, "354"));
    assert!(logged(Direction::Note, "message of 23 bytes"), "{:?}", conversation.lines);
    assert!(!format!("{conversation:?}").contains("private"));
}

#[tokio::test]
async fn messages_in_the_spool_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings {
        spool: Some(folder.path().join("made/if/missing")),
        capacity: 2,
        ..Settings::default()
    };
    let first = catcher(settings.clone()).await;
    let mut smtp = SmtpClient::greeted(&first).await;
    for number in 1..=3 {
        let message = format!("Subject: message {number}\n\nGrüße");
        smtp.send(&["jo@x.example"], &message).await;
        assert!(smtp.read_reply().await.starts_with("250"));
    }
    let before: Vec<_> = first.mails();
    first.shutdown().await;

    let address = restart_with_the_same_mails(&settings, &before).await;
    address.clear().await.expect("cleared");
    address.shutdown().await;
    assert!(catcher(settings).await.mails().is_empty());
}

async fn restart_with_the_same_mails(
    settings: &Settings,
    before: &[std::sync::Arc<diagflow_simulators::mail::Mail>],
) -> MailCatcher {
    let again = catcher(settings.clone()).await;
    let debug = |mails: &[std::sync::Arc<diagflow_simulators::mail::Mail>]| format!("{mails:?}");
    assert_eq!(debug(&again.mails()), debug(before));
    assert_eq!(before.len(), 2);
    let mut smtp = SmtpClient::greeted(&again).await;
    smtp.send(&["jo@x.example"], "Subject: new\n\nhi").await;
    smtp.read_reply().await;
    let ids: Vec<u64> = again.mails().iter().map(|it| it.id).collect();
    assert_eq!(ids, [3, 4]);
    again
}

#[tokio::test]
async fn a_stopped_catcher_can_restart_at_the_same_address() {
    let first = catcher(Settings::default()).await;
    let address = first.smtp_address();
    let mut smtp = SmtpClient::greeted(&first).await;
    tokio::time::timeout(LIMIT, first.shutdown())
        .await
        .expect("an open conversation does not delay the shutdown");
    assert_eq!(smtp.read_to_end().await, "");
    tokio::net::TcpStream::connect(address).await.expect_err("the port is closed");
    let again = MailCatcher::start(address, any_port(), Settings::default()).await;
    SmtpClient::greeted(&again.expect("the same address")).await;
}
