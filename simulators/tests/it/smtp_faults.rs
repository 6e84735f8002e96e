//! Tests for every scripted SMTP fault, as observed by a client.

use std::time::Duration;

use diagflow_simulators::mail::{Action, Conversation, MailCatcher, Rule, Settings, Step};

use crate::support::*;

const MESSAGE: &str = "Subject: result\n\nhello";

async fn catcher_with_script(rules: impl IntoIterator<Item = Rule>) -> MailCatcher {
    let catcher = catcher(Settings::default()).await;
    catcher.set_script(rules).expect("a valid script");
    catcher
}

async fn wait_for_end(catcher: &MailCatcher) -> Conversation {
    let ended = |all: &[Conversation]| all.first().filter(|it| it.ended_at.is_some()).cloned();
    let conversation = catcher.wait_for_conversation(ended, LIMIT).await;
    conversation.expect("the end")
}

#[tokio::test]
async fn a_rejected_connection_can_be_followed_by_an_accepted_one() {
    let catcher =
        catcher_with_script([Rule::reply(Step::Connect, 421, "4.3.2 Busy").times(1)]).await;
    let mut smtp = SmtpClient::connect(&catcher).await;
    assert_eq!(smtp.read_to_end().await, "421 4.3.2 Busy\r\n");
    SmtpClient::greeted(&catcher).await;
}

#[tokio::test]
async fn each_command_can_be_rejected_once_and_then_accepted() {
    let steps = [Step::Ehlo, Step::Mail, Step::Rcpt, Step::Data, Step::Body];
    let rules = steps.map(|step| Rule::reply(step, 451, "4.0.0 Later").times(1));
    let catcher = catcher_with_script(rules).await;
    let mut smtp = SmtpClient::connect(&catcher).await;
    smtp.read_reply().await;
    smtp.command("EHLO test.example", "451 4.0.0 Later").await;
    smtp.command("EHLO test.example", "250").await;
    smtp.command("MAIL FROM:<clinic@x.example>", "451").await;
    smtp.command("MAIL FROM:<clinic@x.example>", "250").await;
    smtp.command("RCPT TO:<jo@x.example>", "451").await;
    smtp.command("RCPT TO:<jo@x.example>", "250").await;
    smtp.command("DATA", "451").await;
    smtp.command("DATA", "354").await;
    smtp.write(b"Subject: x\r\n\r\nhi\r\n.\r\n").await;
    assert!(smtp.read_reply().await.starts_with("451"));
    assert!(catcher.mails().is_empty());
    smtp.send(&["jo@x.example"], MESSAGE).await;
    assert!(smtp.read_reply().await.starts_with("250"));
    assert_eq!(catcher.mails().len(), 1);
}

#[tokio::test]
async fn authentication_can_be_rejected() {
    let catcher = catcher(Settings {
        user: Some("u".to_owned()),
        password: Some("p".to_owned()),
        ..Settings::default()
    })
    .await;
    let rule = Rule::reply(Step::Auth, 454, "4.7.0 Later").times(1);
    catcher.set_script([rule]).expect("a valid script");
    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.command("AUTH PLAIN AHUAcA==", "454").await;
    smtp.command("AUTH PLAIN AHUAcA==", "235").await;
}

#[tokio::test]
async fn greylisting_accepts_the_second_attempt() {
    let catcher = catcher_with_script([Rule::greylisting()]).await;
    for code in ["451", "250"] {
        let mut smtp = SmtpClient::greeted(&catcher).await;
        smtp.command("MAIL FROM:<clinic@x.example>", "250").await;
        smtp.command("RCPT TO:<jo@x.example>", code).await;
        smtp.command("RCPT TO:<al@x.example>", code).await;
    }
}

#[tokio::test]
async fn one_recipient_can_be_rejected_permanently() {
    let rule = Rule::reply(Step::Rcpt, 550, "5.1.1 No such user").only_for("gone@x.example");
    let catcher = catcher_with_script([rule]).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.command("MAIL FROM:<clinic@x.example>", "250").await;
    for _ in 0..3 {
        smtp.command("RCPT TO:<gone@x.example>", "550 5.1.1").await;
    }
    smtp.command("RCPT TO:<jo@x.example>", "250").await;
}

#[tokio::test]
async fn a_421_reply_closes_the_connection_at_any_step() {
    let catcher = catcher_with_script([Rule::reply(Step::Rcpt, 421, "4.3.2 Going down")]).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.command("MAIL FROM:<clinic@x.example>", "250").await;
    smtp.command("RCPT TO:<jo@x.example>", "421").await;
    assert_eq!(smtp.read_to_end().await, "");
}

#[tokio::test]
async fn a_drop_before_acceptance_stores_no_message() {
    let catcher = catcher_with_script([Rule::new(Step::Body, Action::Drop).times(1)]).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.send(&["jo@x.example"], MESSAGE).await;
    assert_eq!(smtp.read_to_end().await, "");
    let conversation = wait_for_end(&catcher).await;
    assert!(!conversation.accepted);
    assert!(catcher.mails().is_empty());
}

#[tokio::test]
async fn a_drop_after_acceptance_stores_the_message_without_a_reply() {
    let rule = Rule::new(Step::Body, Action::DropAfterAccept).only_for("jo@x.example");
    let catcher = catcher_with_script([rule]).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.send(&["jo@x.example"], MESSAGE).await;
    assert_eq!(smtp.read_to_end().await, "");
    let conversation = wait_for_end(&catcher).await;
    assert!(conversation.accepted);
    assert_eq!((conversation.mails.len(), conversation.acknowledged), (1, 0));
    assert_eq!(catcher.mails()[0].subject, "result");
    let mut other = SmtpClient::greeted(&catcher).await;
    other.send(&["al@x.example"], MESSAGE).await;
    assert!(other.read_reply().await.starts_with("250"));
}

#[tokio::test]
async fn connections_can_be_dropped_at_every_step() {
    for step in [Step::Connect, Step::Ehlo, Step::Mail, Step::Rcpt, Step::Data] {
        let catcher = catcher_with_script([Rule::new(step, Action::Drop)]).await;
        let mut smtp = SmtpClient::connect(&catcher).await;
        let lines = [
            (Step::Ehlo, "EHLO test.example"),
            (Step::Mail, "MAIL FROM:<clinic@x.example>"),
            (Step::Rcpt, "RCPT TO:<jo@x.example>"),
            (Step::Data, "DATA"),
        ];
        if step != Step::Connect {
            smtp.read_reply().await;
        }
        for (at, line) in lines.iter().filter(|_| step != Step::Connect) {
            if *at == step {
                smtp.write(format!("{line}\r\n").as_bytes()).await;
                break;
            }
            smtp.command(line, "2").await;
        }
        assert_eq!(smtp.read_to_end().await, "", "{step:?}");
        assert!(wait_for_end(&catcher).await.mails.is_empty());
    }
}

#[tokio::test]
async fn a_stall_sends_nothing_until_the_client_disconnects() {
    let catcher = catcher_with_script([Rule::new(Step::Mail, Action::Stall)]).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.write(b"MAIL FROM:<clinic@x.example>\r\n").await;
    let silence = tokio::time::timeout(Duration::from_millis(200), smtp.read_reply()).await;
    assert!(silence.is_err(), "{silence:?}");
    drop(smtp);
    wait_for_end(&catcher).await;
}

#[tokio::test]
async fn a_stall_after_acceptance_stores_the_message() {
    let catcher = catcher_with_script([Rule::new(Step::Body, Action::StallAfterAccept)]).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.send(&["jo@x.example"], MESSAGE).await;
    let wanted = |mail: &diagflow_simulators::mail::Mail| mail.subject == "result";
    catcher.wait_for(wanted, LIMIT).await.expect("the message");
    let silence = tokio::time::timeout(Duration::from_millis(200), smtp.read_reply()).await;
    assert!(silence.is_err(), "{silence:?}");
    drop(smtp);
    assert_eq!(wait_for_end(&catcher).await.acknowledged, 0);
}

#[tokio::test]
async fn a_stalled_conversation_does_not_block_the_shutdown() {
    let catcher = catcher_with_script([Rule::new(Step::Connect, Action::Stall)]).await;
    let mut smtp = SmtpClient::connect(&catcher).await;
    let noted = |all: &[Conversation]| (!all.first()?.lines.is_empty()).then_some(());
    catcher.wait_for_conversation(noted, LIMIT).await.expect("the stall");
    tokio::time::timeout(LIMIT, catcher.shutdown()).await.expect("a shutdown in time");
    assert_eq!(smtp.read_to_end().await, "");
}

#[tokio::test]
async fn a_new_script_resets_the_counts() {
    let rule = Rule::reply(Step::Connect, 421, "4.3.2 Busy").times(1);
    let catcher = catcher_with_script([rule.clone()]).await;
    assert!(SmtpClient::connect(&catcher).await.read_reply().await.starts_with("421"));
    assert!(SmtpClient::connect(&catcher).await.read_reply().await.starts_with("220"));
    catcher.set_script([rule]).expect("a valid script");
    assert!(SmtpClient::connect(&catcher).await.read_reply().await.starts_with("421"));
    assert_eq!(catcher.script().rules().len(), 1);
    catcher.set_script([]).expect("no rules");
    assert!(catcher.script().rules().is_empty());
}

#[tokio::test]
async fn a_wait_timeout_lists_the_received_messages() {
    let catcher = catcher_with_script([]).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.send(&["jo@x.example"], MESSAGE).await;
    smtp.read_reply().await;
    let limit = Duration::from_millis(50);
    let error = catcher.wait_for(|_| false, limit).await.expect_err("a timeout");
    assert!(error.to_string().contains("jo@x.example"), "{error}");
}
