//! Every scripted misbehaviour, as a client meets it.

use std::time::Duration;

use diagflow_simulators::mail::{Action, Conversation, MailCatcher, Rule, Settings, Step};

use crate::support::*;

const MESSAGE: &str = "Subject: result\n\nhello";

async fn scripted(rules: impl IntoIterator<Item = Rule>) -> MailCatcher {
    let catcher = catcher(Settings::default()).await;
    catcher.set_script(rules).expect("a good script");
    catcher
}

/// Waits for the end of the first conversation.
async fn ended(catcher: &MailCatcher) -> Conversation {
    let look = |all: &[Conversation]| all.first().filter(|it| it.ended_at.is_some()).cloned();
    let talk = catcher.wait_for_conversation(look, LIMIT).await;
    talk.expect("the end")
}

#[tokio::test]
async fn busy_at_connect_and_then_fine() {
    let catcher = scripted([Rule::reply(Step::Connect, 421, "4.3.2 Busy").times(1)]).await;
    let mut smtp = Smtp::connect(&catcher).await;
    assert_eq!(smtp.rest().await, "421 4.3.2 Busy\r\n");
    Smtp::ready(&catcher).await;
}

#[tokio::test]
async fn each_command_can_be_refused_and_then_taken() {
    let steps = [Step::Ehlo, Step::Mail, Step::Rcpt, Step::Data, Step::Body];
    let rules = steps.map(|step| Rule::reply(step, 451, "4.0.0 Later").times(1));
    let catcher = scripted(rules).await;
    let mut smtp = Smtp::connect(&catcher).await;
    smtp.hear().await;
    smtp.say("EHLO test.example", "451 4.0.0 Later").await;
    smtp.say("EHLO test.example", "250").await;
    smtp.say("MAIL FROM:<clinic@x.example>", "451").await;
    smtp.say("MAIL FROM:<clinic@x.example>", "250").await;
    smtp.say("RCPT TO:<jo@x.example>", "451").await;
    smtp.say("RCPT TO:<jo@x.example>", "250").await;
    smtp.say("DATA", "451").await;
    smtp.say("DATA", "354").await;
    smtp.write(b"Subject: x\r\n\r\nhi\r\n.\r\n").await;
    assert!(smtp.hear().await.starts_with("451"));
    assert!(catcher.mails().is_empty());
    smtp.send(&["jo@x.example"], MESSAGE).await;
    assert!(smtp.hear().await.starts_with("250"));
    assert_eq!(catcher.mails().len(), 1);
}

#[tokio::test]
async fn signing_in_can_be_refused() {
    let catcher = catcher(Settings {
        user: Some("u".to_owned()),
        password: Some("p".to_owned()),
        ..Settings::default()
    })
    .await;
    let rule = Rule::reply(Step::Auth, 454, "4.7.0 Later").times(1);
    catcher.set_script([rule]).expect("a good script");
    let mut smtp = Smtp::ready(&catcher).await;
    smtp.say("AUTH PLAIN AHUAcA==", "454").await;
    smtp.say("AUTH PLAIN AHUAcA==", "235").await;
}

#[tokio::test]
async fn greylisting_lets_the_second_attempt_pass() {
    let catcher = scripted([Rule::greylisting()]).await;
    for code in ["451", "250"] {
        let mut smtp = Smtp::ready(&catcher).await;
        smtp.say("MAIL FROM:<clinic@x.example>", "250").await;
        smtp.say("RCPT TO:<jo@x.example>", code).await;
        smtp.say("RCPT TO:<al@x.example>", code).await;
    }
}

#[tokio::test]
async fn one_address_can_be_refused_for_good() {
    let rule = Rule::reply(Step::Rcpt, 550, "5.1.1 No such user").only_for("gone@x.example");
    let catcher = scripted([rule]).await;
    let mut smtp = Smtp::ready(&catcher).await;
    smtp.say("MAIL FROM:<clinic@x.example>", "250").await;
    for _ in 0..3 {
        smtp.say("RCPT TO:<gone@x.example>", "550 5.1.1").await;
    }
    smtp.say("RCPT TO:<jo@x.example>", "250").await;
}

#[tokio::test]
async fn a_421_closes_the_connection_anywhere() {
    let catcher = scripted([Rule::reply(Step::Rcpt, 421, "4.3.2 Going down")]).await;
    let mut smtp = Smtp::ready(&catcher).await;
    smtp.say("MAIL FROM:<clinic@x.example>", "250").await;
    smtp.say("RCPT TO:<jo@x.example>", "421").await;
    assert_eq!(smtp.rest().await, "");
}

#[tokio::test]
async fn a_drop_before_acceptance_stores_nothing() {
    let catcher = scripted([Rule::new(Step::Body, Action::Drop).times(1)]).await;
    let mut smtp = Smtp::ready(&catcher).await;
    smtp.send(&["jo@x.example"], MESSAGE).await;
    assert_eq!(smtp.rest().await, "");
    let talk = ended(&catcher).await;
    assert!(!talk.accepted);
    assert!(catcher.mails().is_empty());
}

#[tokio::test]
async fn a_drop_after_acceptance_keeps_the_mail_and_loses_the_answer() {
    let rule = Rule::new(Step::Body, Action::DropAfterAccept).only_for("jo@x.example");
    let catcher = scripted([rule]).await;
    let mut smtp = Smtp::ready(&catcher).await;
    smtp.send(&["jo@x.example"], MESSAGE).await;
    assert_eq!(smtp.rest().await, "");
    let talk = ended(&catcher).await;
    assert!(talk.accepted);
    assert_eq!((talk.mails.len(), talk.acknowledged), (1, 0));
    assert_eq!(catcher.mails()[0].subject, "result");
    let mut other = Smtp::ready(&catcher).await;
    other.send(&["al@x.example"], MESSAGE).await;
    assert!(other.hear().await.starts_with("250"));
}

#[tokio::test]
async fn drops_happen_at_every_step() {
    for step in [Step::Connect, Step::Ehlo, Step::Mail, Step::Rcpt, Step::Data] {
        let catcher = scripted([Rule::new(step, Action::Drop)]).await;
        let mut smtp = Smtp::connect(&catcher).await;
        let lines = [
            (Step::Ehlo, "EHLO test.example"),
            (Step::Mail, "MAIL FROM:<clinic@x.example>"),
            (Step::Rcpt, "RCPT TO:<jo@x.example>"),
            (Step::Data, "DATA"),
        ];
        if step != Step::Connect {
            smtp.hear().await;
        }
        for (at, line) in lines.iter().filter(|_| step != Step::Connect) {
            if *at == step {
                smtp.write(format!("{line}\r\n").as_bytes()).await;
                break;
            }
            smtp.say(line, "2").await;
        }
        assert_eq!(smtp.rest().await, "", "{step:?}");
        assert!(ended(&catcher).await.mails.is_empty());
    }
}

#[tokio::test]
async fn a_stall_says_nothing_until_the_client_leaves() {
    let catcher = scripted([Rule::new(Step::Mail, Action::Stall)]).await;
    let mut smtp = Smtp::ready(&catcher).await;
    smtp.write(b"MAIL FROM:<clinic@x.example>\r\n").await;
    let silence = tokio::time::timeout(Duration::from_millis(200), smtp.hear()).await;
    assert!(silence.is_err(), "{silence:?}");
    drop(smtp);
    ended(&catcher).await;
}

#[tokio::test]
async fn a_stall_after_acceptance_keeps_the_mail() {
    let catcher = scripted([Rule::new(Step::Body, Action::StallAfterAccept)]).await;
    let mut smtp = Smtp::ready(&catcher).await;
    smtp.send(&["jo@x.example"], MESSAGE).await;
    let wanted = |mail: &diagflow_simulators::mail::Mail| mail.subject == "result";
    catcher.wait_for(wanted, LIMIT).await.expect("the mail");
    let silence = tokio::time::timeout(Duration::from_millis(200), smtp.hear()).await;
    assert!(silence.is_err(), "{silence:?}");
    drop(smtp);
    assert_eq!(ended(&catcher).await.acknowledged, 0);
}

#[tokio::test]
async fn a_stalled_conversation_does_not_keep_the_catcher_up() {
    let catcher = scripted([Rule::new(Step::Connect, Action::Stall)]).await;
    let mut smtp = Smtp::connect(&catcher).await;
    let noted = |all: &[Conversation]| (!all.first()?.lines.is_empty()).then_some(());
    catcher.wait_for_conversation(noted, LIMIT).await.expect("the stall");
    tokio::time::timeout(LIMIT, catcher.shutdown()).await.expect("a shutdown in time");
    assert_eq!(smtp.rest().await, "");
}

#[tokio::test]
async fn a_new_script_starts_its_counts_at_zero() {
    let rule = Rule::reply(Step::Connect, 421, "4.3.2 Busy").times(1);
    let catcher = scripted([rule.clone()]).await;
    assert!(Smtp::connect(&catcher).await.hear().await.starts_with("421"));
    assert!(Smtp::connect(&catcher).await.hear().await.starts_with("220"));
    catcher.set_script([rule]).expect("a good script");
    assert!(Smtp::connect(&catcher).await.hear().await.starts_with("421"));
    assert_eq!(catcher.script().rules().len(), 1);
    catcher.set_script([]).expect("no rules");
    assert!(catcher.script().rules().is_empty());
}

#[tokio::test]
async fn waiting_in_vain_says_what_was_there() {
    let catcher = scripted([]).await;
    let mut smtp = Smtp::ready(&catcher).await;
    smtp.send(&["jo@x.example"], MESSAGE).await;
    smtp.hear().await;
    let limit = Duration::from_millis(50);
    let error = catcher.wait_for(|_| false, limit).await.expect_err("none");
    assert!(error.to_string().contains("jo@x.example"), "{error}");
}
