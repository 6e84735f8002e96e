use crate::AcceptedSubmission;
use crate::assertions;
use crate::eventually;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::{LOCAL, StackOptions, id_of};
use diagflow_simulators::mail::{Action, MailCatcher, Rule, Settings, Step};
use diagflow_store::Delivery;

async fn wait_until_settled(testbed: &Testbed, submission: &AcceptedSubmission) -> Delivery {
    eventually("the e-mail to be settled", || async {
        let all = testbed.stack.store.deliveries(id_of(submission)).await.ok()?;
        all.into_iter().next().filter(|one| one.settled_at.is_some())
    })
    .await
}

/// The connection is lost after the message data but before the reply. The worker cannot know whether the mail server
/// accepted the e-mail, so the delivery becomes `unknown` and the e-mail is not sent again.
pub(crate) async fn dropped_after_data() -> RowReport {
    let faults = [Action::DropAfterAccept, Action::Drop, Action::StallAfterAccept, Action::Stall];
    let options = StackOptions::default().with("SMTP_RESPONSE_TIMEOUT_SECONDS", "2");
    let mut testbed = Testbed::start(options).await;
    testbed.tolerances.delivery_statuses = &["sent", "unknown"];
    for fault in faults {
        let rule = Rule::new(Step::Body, fault.clone()).times(1);
        testbed.stack.mail.set_script([rule]).expect("a script");
        let submission = testbed.submit().await;
        let delivery = wait_until_settled(&testbed, &submission).await;
        assert_eq!(delivery.status.to_string(), "unknown", "{fault:?}: {delivery:?}");
    }
    testbed.report().await
}

/// The worker retries after a temporary rejection, but not if the recipient's address is rejected.
pub(crate) async fn refusals() -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    testbed.tolerances.delivery_statuses = &["sent", "failed"];
    let later =
        [Rule::reply(Step::Connect, 421, "4.3.2 Shutting down").times(1), Rule::greylisting()];
    for rule in later {
        testbed.stack.mail.set_script([rule.clone()]).expect("a script");
        let submission = testbed.submit().await;
        let delivery = wait_until_settled(&testbed, &submission).await;
        assert_eq!(delivery.status.to_string(), "sent", "{rule:?}: {delivery:?}");
        assert!(delivery.attempts > 1, "{rule:?}: {delivery:?}");
    }
    let refused = [
        Rule::reply(Step::Rcpt, 550, "5.1.1 No such user here"),
        Rule::reply(Step::Rcpt, 553, "5.1.3 No such address").times(1),
    ];
    for rule in refused {
        testbed.stack.mail.set_script([rule.clone().times(1)]).expect("a script");
        let submission = testbed.submit().await;
        let delivery = wait_until_settled(&testbed, &submission).await;
        assert_eq!(delivery.status.to_string(), "failed", "{rule:?}: {delivery:?}");
        testbed.stack.wait_for_status(&submission, "completed").await;
    }
    testbed.report().await
}

/// The mail server is down for several attempts. The submission remains completed, and the delivery waits until the
/// mail server is available again.
pub(crate) async fn down_for_long() -> RowReport {
    let spool = tempfile::TempDir::new().expect("a folder");
    let settings = Settings { spool: Some(spool.path().to_owned()), ..Settings::default() };
    let mut testbed =
        Testbed::start(StackOptions { mail: settings.clone(), ..StackOptions::default() }).await;
    let address = testbed.stack.mail.smtp_address();
    // `Stack` always needs a mail server. This is a placeholder that the worker does not use.
    let placeholder =
        MailCatcher::start(LOCAL, LOCAL, Settings::default()).await.expect("a started process");
    std::mem::replace(&mut testbed.stack.mail, placeholder).shutdown().await;

    let submission = testbed.submit().await;
    testbed.stack.wait_for_status(&submission, "completed").await;
    let waiting = eventually("several attempts to fail", || async {
        let all = testbed.stack.store.deliveries(id_of(&submission)).await.ok()?;
        all.into_iter().next().filter(|delivery| delivery.attempts >= 3)
    })
    .await;
    assert_eq!(waiting.status.to_string(), "planned", "{waiting:?}");

    let back = MailCatcher::start(address, LOCAL, settings).await.expect("a started process");
    std::mem::replace(&mut testbed.stack.mail, back).shutdown().await;
    let delivery = wait_until_settled(&testbed, &submission).await;
    assert_eq!(delivery.status.to_string(), "sent", "{delivery:?}");
    assert_eq!(delivery.id, waiting.id, "the same delivery");
    assert!(delivery.attempts > waiting.attempts, "{delivery:?}");
    assert_eq!(assertions::mails(&testbed.stack, &submission).len(), 1, "accepted once");
    assert_stayed_completed(&testbed, &submission).await;
    testbed.report().await
}

/// Asserts that all events after completion have the status `completed` and that the last one is about the e-mail.
async fn assert_stayed_completed(testbed: &Testbed, submission: &AcceptedSubmission) {
    let events = testbed.stack.store.events(id_of(submission), 0).await.expect("events");
    let steps: Vec<_> =
        events.iter().map(|event| (event.step.name(), event.status.name())).collect();
    let completed =
        steps.iter().position(|(_, status)| *status == "completed").expect("a completion");
    assert!(steps[completed..].iter().all(|(_, status)| *status == "completed"), "{steps:?}");
    assert_eq!(steps.last(), Some(&("mail_sent", "completed")), "{steps:?}");
    testbed.stack.wait_for_status(submission, "completed").await;
}
