//! Tests of erasures that take place while a run is open, an e-mail is due or being sent, or an export is in progress.

use super::{erase, request_erasure};
use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::{DeliveryStatus, Failpoint, Role};
use diagflow_tests::assertions::{executions, mails, steps};
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::responses::{body, header, refusal};
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, StackOptions, Staff, eventually, history, photos, seeding};
use futures::StreamExt;
use serde_json::json;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

#[tokio::test]
async fn an_open_run_is_cancelled_and_its_stream_ends() {
    let stack = Stack::with(StackOptions::default().scenario("stuck")).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    stack.wait_for_status(&accepted, "processing").await;
    let events = stack.client.events(&accepted, None).await;

    let erased = erase(&admin, &accepted).await;

    assert_eq!(erased["changed"], true);
    let events: Vec<_> = events.collect().await;
    let last = events.last().expect("an event");
    assert_eq!((&last.data["step"], &last.data["status"]), (&json!("erased"), &json!("cancelled")));
    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Canceled");
    // When LoopAI later finishes the diagnosis, its result is not stored and no e-mail is sent.
    let execution = &executions(&stack, &accepted)[0].execution_id;
    let result = json!({"summary": "dry skin"});
    stack.loopai.complete_with(execution, result).expect("an execution in progress");
    assert_eq!(stack.database.count_rows("results").await, 0);
    assert_eq!(stack.database.count_rows("deliveries").await, 0);
    assert_eq!(mails(&stack, &accepted).len(), 0);
    assert_eq!(steps(&stack, &accepted).await, ["received", "diagnosing", "erased"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_poll_during_the_erasure_stores_nothing() {
    let stack = Stack::start().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    stack.failpoints.arm(Failpoint::AfterPollAnswered);
    let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
    stack.failpoints.wait_until_reached(Failpoint::AfterPollAnswered).await;

    erase(&admin, &accepted).await;
    stack.failpoints.release(Failpoint::AfterPollAnswered);

    history::wait_until_closed(&stack, &accepted).await;
    assert_eq!(stack.database.count_rows("results").await, 0);
    assert_eq!(mails(&stack, &accepted).len(), 0);
    assert_eq!(steps(&stack, &accepted).await.last(), Some(&"erased"));
    stack.stop().await;
}

#[tokio::test]
async fn a_planned_email_is_not_sent_after_the_erasure() {
    let stack = Stack::start().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let deferred = Rule::reply(Step::Rcpt, 451, "4.7.1 ana@example.org: later");
    stack.mail.set_script([deferred]).expect("a script");
    let accepted = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    eventually("the e-mail to be deferred", || async {
        let all = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
        all.first().filter(|delivery| delivery.error_detail.is_some()).map(drop)
    })
    .await;

    let erased = erase(&admin, &accepted).await;
    stack.mail.set_script([]).expect("a script");

    assert_eq!(erased["receipt"]["removed"]["error_texts"], 1);
    let all = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
    assert_eq!(all[0].status, DeliveryStatus::Failed);
    assert_eq!(all[0].error_code.as_deref(), Some("submission_deleted"));
    assert_eq!(all[0].error_detail, None, "the stored reply still contains the address");
    history::wait_until_closed(&stack, &accepted).await;
    assert_eq!(mails(&stack, &accepted).len(), 0);
    stack.stop().await;
}

#[tokio::test]
async fn an_erasure_waits_for_an_email_that_is_being_sent() {
    let stack = Stack::start().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    stack.failpoints.arm(Failpoint::AfterMailClaimed);
    let accepted = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    stack.failpoints.wait_until_reached(Failpoint::AfterMailClaimed).await;

    let refused = request_erasure(&admin, &accepted.submission_id).await;

    let seconds: u64 = header(&refused, "retry-after").parse().expect("seconds");
    assert!((1..=130).contains(&seconds), "{seconds}");
    assert_eq!(refusal(refused).await, (409, "email_in_progress".to_owned()));
    let document = stack.client.status(&accepted).await.expect("a response");
    assert!(document["result"].is_object(), "the refused erasure removed data: {document}");
    // The command waits until the e-mail is sent.
    let id = accepted.submission_id.as_str();
    let mut command = stack.command(&["erase", id, "--reason", "a test", "--confirm", id]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut erasing = command.spawn().expect("a running process");
    let mut messages = BufReader::new(erasing.stderr.take().expect("a pipe")).lines();
    let message = timeout(LIMIT, messages.next_line()).await.expect("a message in time");
    let waiting = "an e-mail for this submission is being sent; waiting until it has finished";
    assert_eq!(message.expect("text").as_deref(), Some(waiting));
    assert_eq!(mails(&stack, &accepted).len(), 0);

    stack.failpoints.release(Failpoint::AfterMailClaimed);

    let erased = timeout(LIMIT, erasing.wait()).await.expect("the command to end in time");
    assert!(erased.expect("an exit code").success(), "{:?}", messages.next_line().await);
    assert_eq!(mails(&stack, &accepted).len(), 1);
    let all = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
    assert_eq!(all[0].status, DeliveryStatus::Sent);
    stack.stop().await;
}

#[tokio::test]
async fn a_running_export_omits_submissions_erased_in_the_meantime() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    // The export is larger than the connection buffers, so the API waits for the client to read it.
    for number in 0..12 {
        let email = format!("ana{number}@example.org");
        let run = seeding::submission(&stack.store, &email, "-", None).await;
        seeding::complete(&stack.store, run).await;
    }
    stack
        .database
        .execute("UPDATE results SET body = JSON_OBJECT('text', REPEAT('x', 3000000))")
        .await;
    let oldest = "SELECT id FROM submissions WHERE email = 'ana0@example.org'";
    let oldest = stack.database.texts(oldest).await.remove(0);
    let export = admin.get("/api/admin/submissions/export?format=jsonl").await;
    assert_eq!(export.status(), 200);
    let mut export = export.bytes_stream();
    let first = export.next().await.expect("a chunk").expect("data");

    body(request_erasure(&admin, &oldest).await).await;

    let mut text = first.to_vec();
    while let Some(chunk) = export.next().await {
        text.extend(chunk.expect("a complete export"));
    }
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("ana1@example.org"), "the export is incomplete");
    assert!(!text.contains("ana0@example.org"), "the export contains an erased address");
    stack.stop().await;
}
