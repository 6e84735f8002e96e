//! Real worlds in which something is harmed on purpose: the judge has to find it by the same eyes that look after
//! every fault.

use super::*;
use crate::faults::judge::Invariant;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// How long something is waited for that never comes.
const SOON: Duration = Duration::from_secs(3);

/// A world with a submission that completed and was told.
async fn world() -> (World, Accepted) {
    let mut world = World::start(StackOptions::default()).await;
    let submission = world.submit().await;
    world.settle().await;
    (world, submission)
}

/// The invariants that the judge finds broken.
async fn broken(world: World) -> Vec<Invariant> {
    let violations = world.report().await.violations;
    let mut broken: Vec<_> = violations.iter().map(|violation| violation.invariant).collect();
    broken.sort();
    broken.dedup();
    broken
}

#[tokio::test]
async fn nothing_is_found_in_a_world_that_was_left_alone() {
    let (world, _) = world().await;
    assert_eq!(world.report().await.violations, []);
}

#[tokio::test]
async fn i1_an_end_that_is_taken_back_is_found() {
    let (mut world, submission) = world().await;
    world.patience = SOON;
    let id = &submission.submission_id;
    let undone = format!(
        "UPDATE submissions SET status = 'processing', finished_at = NULL WHERE id = '{id}'"
    );
    world.stack.database.run(&undone).await;
    assert!(broken(world).await.contains(&Invariant::OneEnd));
}

#[tokio::test]
async fn i2_bytes_that_are_lost_and_a_result_that_was_changed_are_found() {
    let (lost, submission) = world().await;
    let photo = lost.acknowledged[0].photos[0].clone();
    let bytes = lost.stack.files().join(&photo[..2]).join(&photo);
    let kept = std::fs::read(&bytes).expect("the photo");
    std::fs::write(&bytes, &kept[1..]).expect("written");
    assert_eq!(broken(lost).await, [Invariant::NothingLost], "{}", submission.submission_id);

    let (changed, _) = world().await;
    changed.stack.database.run("UPDATE results SET body = '{\"summary\": \"nothing\"}'").await;
    assert_eq!(broken(changed).await, [Invariant::NothingLost]);
}

#[tokio::test]
async fn i3_a_second_execution_of_a_run_is_found() {
    let (world, submission) = world().await;
    let id = &submission.submission_id;
    let agent = world.stack.loopai.executions()[0].agent_id.clone();
    let address = format!("{}/api/public/agent/{agent}/action/diagnose/", world.stack.loopai.url());
    let photo = photos::cat();
    let again = json!({
        "submission_id": id, "client_reference": format!("{id}-1"), "comments": "",
        "images": [photo.json()],
    });
    let again =
        reqwest::Client::new().post(address).header("Idempotency-Key", "another").json(&again);
    assert!(again.send().await.expect("an answer").status().is_success());
    assert!(broken(world).await.contains(&Invariant::OneExecution));
}

#[tokio::test]
async fn i4_an_e_mail_that_goes_out_twice_is_found() {
    let (world, _) = world().await;
    let sent = world.stack.mail.mails()[0].clone();
    send_again(&world, &sent.to[0], &sent.raw).await;
    assert_eq!(world.stack.mail.mails().len(), 2, "it was accepted");
    assert_eq!(broken(world).await, [Invariant::OneMail]);
}

/// Hands an e-mail over as it is, dots and all.
async fn send_again(world: &World, to: &str, raw: &[u8]) {
    let mut line = TcpStream::connect(world.stack.mail.smtp_address()).await.expect("connects");
    let (reads, mut writes) = line.split();
    let mut answers = BufReader::new(reads).lines();
    let text = String::from_utf8_lossy(raw).replace("\r\n.", "\r\n..");
    let says = [
        "HELO again".to_owned(),
        "MAIL FROM:<again@example.org>".to_owned(),
        format!("RCPT TO:<{to}>"),
        "DATA".to_owned(),
        format!("{text}\r\n."),
    ];
    answers.next_line().await.expect("a greeting");
    for say in says {
        writes.write_all(format!("{say}\r\n").as_bytes()).await.expect("says");
        let answer = answers.next_line().await.expect("reads").expect("an answer");
        assert!(answer.starts_with(['2', '3']), "{say}: {answer}");
    }
}

#[tokio::test]
async fn i5_an_event_that_its_listener_never_heard_is_found() {
    let (world, submission) = world().await;
    let id = &submission.submission_id;
    let inserted =
        format!("UPDATE events SET step = 'waiting' WHERE submission_id = '{id}' AND number = 2");
    world.stack.database.run(&inserted).await;
    assert_eq!(broken(world).await, [Invariant::WholeStory]);
}

#[tokio::test]
async fn i6_a_service_that_does_not_come_back_is_found() {
    let (mut workless, _) = world().await;
    workless.patience = SOON;
    workless.stack.worker.take().expect("runs").kill();
    assert!(broken(workless).await.contains(&Invariant::ComesBack), "nobody works");

    let (mut deaf, _) = world().await;
    deaf.patience = SOON;
    deaf.stack.api.take().expect("runs").kill();
    assert!(broken(deaf).await.contains(&Invariant::ComesBack), "nobody answers");
}
