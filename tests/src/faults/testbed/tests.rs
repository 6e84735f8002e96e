//! Tests that the invariant checks detect deliberate damage to a real system.

use super::*;
use crate::faults::invariants::Invariant;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Time limit for a recovery that never happens. It is short because the test waits for the full duration.
const SHORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns a testbed with one completed submission.
async fn testbed() -> (Testbed, AcceptedSubmission) {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    let submission = testbed.submit().await;
    testbed.settle().await;
    (testbed, submission)
}

async fn broken(testbed: Testbed) -> Vec<Invariant> {
    let violations = testbed.report().await.violations;
    let mut broken: Vec<_> = violations.iter().map(|violation| violation.invariant).collect();
    broken.sort();
    broken.dedup();
    broken
}

#[tokio::test]
async fn an_undisturbed_system_has_no_violations() {
    let (testbed, _) = testbed().await;
    assert_eq!(testbed.report().await.violations, []);
}

#[tokio::test]
async fn i1_detects_a_reverted_terminal_state() {
    let (mut testbed, submission) = testbed().await;
    testbed.settle_timeout = SHORT_TIMEOUT;
    let id = &submission.submission_id;
    let undo = format!(
        "UPDATE submissions SET status = 'processing', finished_at = NULL WHERE id = '{id}'"
    );
    testbed.stack.database.execute(&undo).await;
    assert!(broken(testbed).await.contains(&Invariant::OneEnd));
}

#[tokio::test]
async fn i2_detects_lost_bytes_and_a_changed_result() {
    let (lost, submission) = testbed().await;
    let photo = lost.acknowledged[0].photos[0].clone();
    let bytes = lost.stack.files().join(&photo[..2]).join(&photo);
    let original = std::fs::read(&bytes).expect("the photo");
    std::fs::write(&bytes, &original[1..]).expect("a written file");
    assert_eq!(broken(lost).await, [Invariant::NothingLost], "{}", submission.submission_id);

    let (changed, _) = testbed().await;
    changed.stack.database.execute("UPDATE results SET body = '{\"summary\": \"nothing\"}'").await;
    assert_eq!(broken(changed).await, [Invariant::NothingLost]);
}

#[tokio::test]
async fn i3_detects_a_second_execution_of_a_run() {
    let (testbed, submission) = testbed().await;
    let id = &submission.submission_id;
    let agent = testbed.stack.loopai.executions()[0].agent_id.clone();
    let address =
        format!("{}/api/public/agent/{agent}/action/diagnose/", testbed.stack.loopai.url());
    let photo = photos::cat();
    let again = json!({
        "submission_id": id, "client_reference": format!("{id}-1"), "comments": "",
        "images": [photo.json()],
    });
    let again =
        reqwest::Client::new().post(address).header("Idempotency-Key", "another").json(&again);
    assert!(again.send().await.expect("a response").status().is_success());
    assert!(broken(testbed).await.contains(&Invariant::OneExecution));
}

#[tokio::test]
async fn i4_detects_an_email_sent_twice() {
    let (testbed, _) = testbed().await;
    let sent = testbed.stack.mail.mails()[0].clone();
    send_again(&testbed, &sent.to[0], &sent.raw).await;
    assert_eq!(testbed.stack.mail.mails().len(), 2, "the mail server accepted the second e-mail");
    assert_eq!(broken(testbed).await, [Invariant::OneMail]);
}

async fn send_again(testbed: &Testbed, to: &str, raw: &[u8]) {
    let mut connection =
        TcpStream::connect(testbed.stack.mail.smtp_address()).await.expect("a connection");
    let (reads, mut writes) = connection.split();
    let mut responses = BufReader::new(reads).lines();
    let text = String::from_utf8_lossy(raw).replace("\r\n.", "\r\n..");
    let commands = [
        "HELO again".to_owned(),
        "MAIL FROM:<again@example.org>".to_owned(),
        format!("RCPT TO:<{to}>"),
        "DATA".to_owned(),
        format!("{text}\r\n."),
    ];
    responses.next_line().await.expect("a greeting");
    for command in commands {
        writes.write_all(format!("{command}\r\n").as_bytes()).await.expect("a sent command");
        let response =
            responses.next_line().await.expect("a readable connection").expect("a response");
        assert!(response.starts_with(['2', '3']), "{command}: {response}");
    }
}

#[tokio::test]
async fn i5_detects_an_event_the_listener_never_received() {
    let (testbed, submission) = testbed().await;
    let id = &submission.submission_id;
    let inserted =
        format!("UPDATE events SET step = 'waiting' WHERE submission_id = '{id}' AND number = 2");
    testbed.stack.database.execute(&inserted).await;
    assert_eq!(broken(testbed).await, [Invariant::CompleteStream]);
}

#[tokio::test]
async fn i6_detects_a_service_that_does_not_recover() {
    let ((mut without_worker, _), (mut without_api, _)) = tokio::join!(testbed(), testbed());
    without_worker.settle_timeout = SHORT_TIMEOUT;
    without_worker.stack.worker.take().expect("a running process").kill();
    without_api.settle_timeout = SHORT_TIMEOUT;
    without_api.stack.api.take().expect("a running process").kill();

    let (without_worker, without_api) = tokio::join!(broken(without_worker), broken(without_api));

    assert!(without_worker.contains(&Invariant::Recovers), "no worker is running");
    assert!(without_api.contains(&Invariant::Recovers), "no API is running");
}
