//! Tests of deliveries that are interrupted by a mail server failure, a stopped worker or a timeout.

use super::{completed_with_mail, last_step, submit_with_rules};
use diagflow_simulators::mail::{Action, Conversation, MailCatcher, Rule, Script, Settings, Step};
use diagflow_tests::assertions::{delivery, mails, wait_completed_once};
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::ports::free_port;
use diagflow_tests::stack::{LOCAL, id_of};
use diagflow_tests::{
    AcceptedSubmission, Stack, StackOptions, eventually, history, photos, temporal_cli,
};
use diagflow_workflows::SubmissionRef;
use diesel_async::SimpleAsyncConnection;
use futures::StreamExt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

#[tokio::test]
async fn an_email_is_sent_after_a_mail_server_outage() {
    let port = free_port();
    let options = StackOptions::default()
        .with("SMTP_PORT", port.to_string())
        .with("EVENTS_EMAIL_WAIT_SECONDS", "0.5");
    let (mut stack, accepted) = Stack::with_submission(options).await;

    // The event stream ends even though the e-mail has not been sent yet.
    let events: Vec<_> = stack.client.events(&accepted, None).await.collect().await;
    assert_eq!(events.last().map(|event| event.name.as_str()), Some("result_ready"));
    eventually("a second attempt to fail", || async {
        let pending = delivery(&stack, &accepted).await;
        (pending.attempts == 2 && pending.status.to_string() == "planned").then_some(pending)
    })
    .await;
    let pending = delivery(&stack, &accepted).await;
    assert_eq!(pending.error_code.as_deref(), Some("smtp_unreachable"));
    assert!(
        pending.error_detail.is_some_and(|words| words.contains("refused")),
        "the ledger does not record why the attempt failed"
    );
    let smtp = SocketAddr::new(LOCAL.ip(), port);
    stack.mail = MailCatcher::start(smtp, LOCAL, Settings::default())
        .await
        .expect("a restarted mail server");

    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn an_email_is_marked_unknown_if_its_worker_is_killed_while_sending_it() {
    let mut options = StackOptions::default().with("SMTP_RESPONSE_TIMEOUT_SECONDS", "1");
    let stall = Rule::new(Step::Body, Action::StallAfterAccept).times(1);
    options.mail.script = Script::new(vec![stall]).expect("a script");
    let (mut stack, accepted) = Stack::with_submission(options).await;
    stack.mail.wait_for(|_| true, LIMIT).await.expect("the message");

    stack.worker.take().expect("a worker").kill();
    stack.start_worker().await;

    let delivery = completed_with_mail(&stack, &accepted, "unknown").await;
    assert_eq!(delivery.error_code.as_deref(), Some("sender_lost"));
    assert_eq!(mails(&stack, &accepted).len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn an_email_is_sent_even_if_a_worker_is_killed_before_sending_it() {
    let stall = Rule::new(Step::Ehlo, Action::Stall).times(1);
    let (mut stack, accepted) = submit_with_rules([stall]).await;
    let greeted = |talks: &[Conversation]| {
        let mut lines = talks.first()?.lines.iter();
        lines.any(|line| line.text.starts_with("EHLO")).then_some(())
    };
    stack.mail.wait_for_conversation(greeted, LIMIT).await.expect("EHLO");

    stack.worker.take().expect("a worker").kill();
    assert_eq!(delivery(&stack, &accepted).await.status.to_string(), "planned");
    stack.start_worker().await;

    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

#[tokio::test]
async fn an_email_is_marked_unknown_if_its_worker_is_stopped_while_sending_it() {
    let mut options = StackOptions::default().with("WORKER_SHUTDOWN_TIMEOUT_SECONDS", "1");
    let stall = Rule::new(Step::Body, Action::StallAfterAccept).times(1);
    options.mail.script = Script::new(vec![stall]).expect("a script");
    let (mut stack, accepted) = Stack::with_submission(options).await;
    stack.mail.wait_for(|_| true, LIMIT).await.expect("the message");

    let stop_requested = Instant::now();
    stack.worker.take().expect("a worker").stop().await;

    assert!(
        stop_requested.elapsed() < Duration::from_secs(20),
        "the stopping worker waited for the reply of the mail server"
    );
    let settled = delivery(&stack, &accepted).await;
    assert_eq!(settled.status.to_string(), "unknown");
    assert_eq!(settled.error_code.as_deref(), Some("smtp_no_response"));
    stack.start_worker().await;
    completed_with_mail(&stack, &accepted, "unknown").await;
    assert_eq!(mails(&stack, &accepted).len(), 1);
    stack.stop().await;
}

/// SQL for a trigger that rejects every write that changes an e-mail from `sending` to `planned`.
const REFUSAL: &str = "CREATE TRIGGER refusal BEFORE UPDATE ON deliveries FOR EACH ROW \
    SET NEW.status = IF(OLD.status = 'sending' AND NEW.status = 'planned', NULL, NEW.status)";

#[tokio::test]
async fn a_deferred_email_is_sent_after_a_failed_database_write() {
    let full = Rule::reply(Step::Body, 452, "4.3.1 Insufficient storage").times(1);
    let mut options = StackOptions::default();
    options.mail.script = Script::new(vec![full]).expect("a script");
    let stack = Stack::with(options).await;
    stack.database.execute(REFUSAL).await;
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    eventually("the worker's write to fail", || async {
        let log = stack.worker.as_ref().expect("a worker").log();
        log.contains("cannot record the outcome of an e-mail").then_some(())
    })
    .await;
    assert_eq!(delivery(&stack, &accepted).await.status.to_string(), "sending");

    stack.database.execute("DROP TRIGGER refusal").await;

    wait_completed_once(&stack, &accepted).await;
    assert_eq!(delivery(&stack, &accepted).await.attempts, 2);
    stack.stop().await;
}

#[tokio::test]
async fn an_email_whose_claim_got_no_response_is_sent_later() {
    let options = StackOptions::default().with("DATABASE_POOL_TIMEOUT_SECONDS", "1");
    let mut stack = Stack::api_only(options).await;
    let (database, url) = stack.database.via_proxy().await;
    stack.set("DATABASE_URL", url);
    stack.mail.set_script([Rule::reply(Step::Rcpt, 451, "4.7.1 Later")]).expect("a script");
    stack.start_worker().await;
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    eventually("a second attempt to fail", || async {
        stack.wait_for_status(&accepted, "completed").await;
        (delivery(&stack, &accepted).await.attempts == 2).then_some(())
    })
    .await;

    // The worker loses its database connection while its claim is waiting for a row lock. The database writes the claim
    // later.
    let mut lock = stack.database.connect().await;
    lock.batch_execute("START TRANSACTION; SELECT id FROM deliveries FOR UPDATE")
        .await
        .expect("locked");
    stack.mail.set_script([]).expect("a script");
    eventually("the claim to wait for the lock", || async {
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
             WHERE db = DATABASE() AND info LIKE 'UPDATE `deliveries`%DATE_ADD%'";
        (stack.database.number(waiting).await == 1).then_some(())
    })
    .await;
    database.cut();
    lock.batch_execute("ROLLBACK").await.expect("rolled back");
    eventually("the claim to be written", || async {
        (delivery(&stack, &accepted).await.status.to_string() == "sending").then_some(())
    })
    .await;
    eventually("the withdrawal to fail", || async {
        let log = stack.worker.as_ref().expect("a worker").log();
        log.contains("cannot record the outcome of an e-mail").then_some(())
    })
    .await;
    database.restore();

    wait_completed_once(&stack, &accepted).await;
    stack.stop().await;
}

/// Uses the Temporal CLI to make the running activity time out within a second instead of after several days.
async fn expire_activity(stack: &Stack, submission: &AcceptedSubmission) {
    let events = history::events(stack, submission).await;
    let scheduled = events.iter().rev().find_map(|event| match event.attributes.as_ref()? {
        Attributes::ActivityTaskScheduledEventAttributes(it) => Some(it.activity_id.clone()),
        _ => None,
    });
    let (id, activity) = (
        SubmissionRef::new(&submission.submission_id).workflow_id(),
        scheduled.expect("an activity"),
    );
    let limit = ["--schedule-to-close-timeout", "1s"];
    temporal_cli::activity("update-options", &id, &activity, &limit).await;
}

#[tokio::test]
async fn an_email_that_is_deferred_for_days_fails() {
    let (stack, accepted) =
        submit_with_rules([Rule::reply(Step::Rcpt, 451, "4.7.1 Never mind")]).await;
    eventually("a second attempt to fail", || async {
        stack.wait_for_status(&accepted, "completed").await;
        (delivery(&stack, &accepted).await.attempts == 2).then_some(())
    })
    .await;

    expire_activity(&stack, &accepted).await;

    let given_up = completed_with_mail(&stack, &accepted, "failed").await;
    assert_eq!(
        given_up.error_code.as_deref(),
        Some("smtp_deferred"),
        "the ledger does not preserve the reason of the last failed attempt"
    );
    assert_eq!(last_step(&stack, &accepted).await, "mail_failed");
    stack.stop().await;
}

#[tokio::test]
async fn a_pending_email_is_superseded_by_a_newer_run() {
    let mut options = StackOptions::default().scenario("fail");
    let refusal = Rule::reply(Step::Rcpt, 451, "4.7.1 Later");
    options.mail.script = Script::new(vec![refusal]).expect("a script");
    let (stack, accepted) = Stack::with_submission(options).await;
    eventually("the first e-mail to be deferred", || async {
        stack.wait_for_status(&accepted, "failed").await;
        (delivery(&stack, &accepted).await.attempts == 2).then_some(())
    })
    .await;

    stack.loopai.set_scenario("delay=100ms".parse().expect("a scenario"));
    history::reset(&stack, &accepted).await;
    stack.mail.set_script([]).expect("a script");

    stack.wait_for_status(&accepted, "completed").await;
    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Completed");
    let ledger = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
    let ledger: Vec<_> = ledger
        .iter()
        .map(|it| (it.kind.to_string(), it.status.to_string(), it.error_code.clone()))
        .collect();
    let old = ("failed".to_owned(), "failed".to_owned(), Some("superseded".to_owned()));
    assert_eq!(ledger[0], old, "{ledger:?}");
    assert_eq!((&*ledger[1].0, &*ledger[1].1), ("result", "sent"), "{ledger:?}");
    assert_eq!(mails(&stack, &accepted).len(), 1);
    stack.stop().await;
}
