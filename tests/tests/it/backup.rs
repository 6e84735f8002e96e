//! Tests of the scripts in `deploy/backup`. After a server's disk has failed and a backup has been restored, every
//! submission reaches a final state and no e-mail is sent twice.

mod incomplete;

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::{Delivery, DeliveryStatus, Role};
use diagflow_tests::assertions::{executions, mails};
use diagflow_tests::dedicated_servers::{DedicatedMariaDb, DedicatedTemporal};
use diagflow_tests::responses::outcome;
use diagflow_tests::stack::{AUDIT_KEY, id_of};
use diagflow_tests::{
    AcceptedSubmission, Stack, StackOptions, Staff, eventually, history, photos, servers,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

/// Runs a script of `deploy/backup`. Returns whether the script succeeded, and its output.
async fn script(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/backup"));
    let path = format!("{}:/usr/bin:/bin", servers::mariadb_clients().display());
    let output = Command::new("/bin/sh")
        .arg(folder.join(name))
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .envs(variables.iter().copied())
        .output()
        .await
        .expect("runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

async fn run(name: &str, arguments: &[&str], variables: &[(&str, &str)]) {
    let (succeeded, output) = script(name, arguments, variables).await;
    assert!(succeeded, "{name}: {output}");
}

async fn diagflow(stack: &Stack, arguments: &[&str]) -> String {
    let output = Command::new(servers::diagflow())
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", stack.database.url())
        .env("AUDIT_KEY", AUDIT_KEY)
        .output()
        .await
        .expect("runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Returns a UTC time that falls after all previous writes and before all later ones. Waits for the next second because
/// point-in-time recovery has a resolution of one second.
async fn point_in_time(stack: &Stack) -> String {
    let next = "SELECT DATE_FORMAT(NOW() + INTERVAL 1 SECOND, '%Y-%m-%d %H:%i:%s')";
    let point_in_time = stack.database.texts(next).await.remove(0);
    eventually("the next second to begin", || async {
        let reached = format!("SELECT CAST(NOW() >= '{point_in_time}' AS SIGNED)");
        (stack.database.number(&reached).await == 1).then_some(())
    })
    .await;
    point_in_time
}

async fn submit(stack: &Stack, email: &str, comments: &str) -> AcceptedSubmission {
    stack.client.submit(email, comments, &[photos::retina()]).await
}

/// Sends a submission that LoopAI accepts but never finishes.
async fn processing(stack: &Stack, email: &str) -> AcceptedSubmission {
    let accepted = submit(stack, email, "[sim: stuck]").await;
    stack.wait_for_status(&accepted, "processing").await;
    accepted
}

fn finish_at_loopai(stack: &Stack, submission: &AcceptedSubmission) {
    let all = executions(stack, submission);
    let newest = &all.last().expect("an execution").execution_id;
    stack.loopai.complete_with(newest, json!({"summary": "dry skin"})).expect("in progress");
}

async fn wait_for_email(stack: &Stack, submission: &AcceptedSubmission) {
    eventually("the e-mail to be sent", || async { mails(stack, submission).pop() }).await;
}

/// Returns a submission's only e-mail.
async fn delivery(stack: &Stack, submission: &AcceptedSubmission) -> Delivery {
    let all = stack.store.deliveries(id_of(submission)).await.expect("deliveries");
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().expect("one")
}

/// Asserts that an e-mail that may have been sent after the restore point is not resent automatically. Staff decide
/// whether to resend it.
async fn assert_left_to_staff(stack: &Stack, submission: &AcceptedSubmission) -> Delivery {
    let delivery = delivery(stack, submission).await;
    assert_eq!(delivery.status, DeliveryStatus::Unknown);
    assert_eq!(delivery.error_code.as_deref(), Some("restored"));
    delivery
}

/// A backup of a running system and the binary logs written since then.
struct Backup {
    folder: TempDir,
    client: [String; 3],
    database: String,
    stored: String,
}

impl Backup {
    async fn of(stack: &Stack, server: &DedicatedMariaDb) -> Backup {
        let backup = Backup {
            folder: TempDir::new().expect("a folder"),
            client: server.client_options(),
            database: stack.database.name().to_owned(),
            stored: stack.files().to_str().expect("text").to_owned(),
        };
        backup.script("backup.sh").await;
        backup.script("binlogs.sh").await;
        backup
    }

    fn path_of(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("text").to_owned()
    }

    async fn script(&self, name: &str) {
        let files = self.path_of("files");
        let variables =
            [("DATABASES", &*self.database), ("FILES", &self.stored), ("FILES_COPY", &files)];
        let backup = self.path_of("backup");
        let client = self.client.iter().map(String::as_str);
        let arguments: Vec<_> = [&*backup].into_iter().chain(client).collect();
        run(name, &arguments, &variables).await;
    }

    /// Replaces a server's failed disk and restores the databases and files as of a point in time.
    async fn restore(&self, server: &mut DedicatedMariaDb, point_in_time: &str) {
        server.replace_disk().await;
        std::fs::remove_dir_all(&self.stored).expect("removed");
        run("files.sh", &[&self.path_of("files"), &self.stored], &[]).await;
        let backup = self.path_of("backup");
        let client = self.client.iter().map(String::as_str);
        let restore: Vec<_> =
            [&*backup, "--until", point_in_time].into_iter().chain(client).collect();
        run("restore.sh", &restore, &[]).await;
        let (succeeded, output) = script("restore.sh", &restore, &[]).await;
        assert!(!succeeded && output.contains("the server is not empty"), "{output}");
    }
}

async fn assert_files_restored(
    stack: &Stack,
    backup: &Backup,
    expected: [(&AcceptedSubmission, photos::Photo); 2],
) {
    for (submission, photo) in expected {
        let files = stack.store.files(id_of(submission)).await.expect("files");
        let digest = files[0].sha256.to_string();
        let bytes = std::fs::read(Path::new(&backup.stored).join(&digest[..2]).join(&digest));
        assert_eq!(bytes.expect("bytes"), photo.bytes);
    }
}

async fn retry_until_completed(stack: &Stack, submission: &AcceptedSubmission) {
    let staff = Staff::with_role(stack, Role::Operator).await;
    let path = format!("/api/admin/submissions/{}/retry", submission.submission_id);
    let response = staff.post(&path, &json!({"reason": "restored"})).await;
    assert_eq!(outcome(response).await, (202, "queued".to_owned()));
    eventually("a second execution", || async {
        (executions(stack, submission).len() == 2).then_some(())
    })
    .await;
    finish_at_loopai(stack, submission);
    stack.wait_for_status(submission, "completed").await;
}

/// Sends a submission whose e-mail the mail server defers.
async fn submit_with_deferred_email(stack: &Stack) -> AcceptedSubmission {
    let defer = Rule::reply(Step::Rcpt, 451, "4.7.1 Later").only_for("deferred@example.org");
    stack.mail.set_script([defer]).expect("a script");
    let deferred = submit(stack, "deferred@example.org", "").await;
    eventually("an e-mail to be deferred", || async {
        let all = stack.store.deliveries(id_of(&deferred)).await.expect("deliveries");
        all.first().filter(|one| one.attempts > 0).map(|_| ())
    })
    .await;
    deferred
}

/// Makes changes that the restore will discard: e-mails are sent, a run ends, and a submission is received.
async fn make_changes_after_point_in_time(
    stack: &Stack,
    deferred: &AcceptedSubmission,
    ends_later: &AcceptedSubmission,
) {
    stack.mail.set_script([]).expect("a script");
    wait_for_email(stack, deferred).await;
    finish_at_loopai(stack, ends_later);
    wait_for_email(stack, ends_later).await;
    let forgotten = submit(stack, "forgotten@example.org", "").await;
    wait_for_email(stack, &forgotten).await;
}

/// Restores the databases and files after a disk failure, leaves Temporal untouched, and restarts the processes.
async fn restore_with_temporal_retained(
    stack: &mut Stack,
    backup: &Backup,
    server: &mut DedicatedMariaDb,
    point_in_time: &str,
) {
    stack.api.take().expect("runs").kill();
    stack.worker.take().expect("runs").kill();
    backup.restore(server, point_in_time).await;
    let settle = ["after-restore", "--temporal", "retained", "--reason", "the disk died"];
    let output = diagflow(stack, &settle).await;
    assert!(output.contains("marked 1 pending e-mails as unknown"), "{output}");
    assert!(output.contains("2 runs were open"), "{output}");
    assert!(output.contains("ended 1 sessions"), "{output}");
    stack.start_worker().await;
    stack.start_api().await;
}

/// Asserts that a run that is open in the restored database but closed in Temporal ends as orphaned, and that staff can
/// retry its submission. No e-mail is sent automatically, because the patient has already received one.
async fn assert_orphaned_run_can_be_retried(stack: &Stack, submission: &AcceptedSubmission) {
    let document = stack.wait_for_status(submission, "failed").await;
    assert_eq!(document["error"]["code"], "run_orphaned");
    assert_left_to_staff(stack, submission).await;
    assert_eq!(mails(stack, submission).len(), 1, "another e-mail was sent after the restore");
    retry_until_completed(stack, submission).await;
}

#[tokio::test]
async fn after_a_point_in_time_restore_every_submission_reaches_a_final_state() {
    let mut server = DedicatedMariaDb::with_binary_log().await;
    let options = StackOptions { mysql: Some(server.url()), ..StackOptions::default() }
        .with("DIAGNOSIS_POLL_SECONDS", "0.2")
        .reconcile_soon();
    let mut stack = Stack::with(options).await;
    let signed_in_before = Staff::with_role(&stack, Role::Operator).await;

    let notified = submit(&stack, "notified@example.org", "").await;
    wait_for_email(&stack, &notified).await;
    let ends_later = processing(&stack, "later@example.org").await;
    let backup = Backup::of(&stack, &server).await;

    // Two submissions arrive after the backup but before the restore point.
    let continues = processing(&stack, "on@example.org").await;
    let photo = [photos::cat()];
    let with_cat = stack.client.submit("cat@example.org", "", &photo).await;
    wait_for_email(&stack, &with_cat).await;
    let deferred = submit_with_deferred_email(&stack).await;
    let point_in_time = point_in_time(&stack).await;

    make_changes_after_point_in_time(&stack, &deferred, &ends_later).await;
    backup.script("binlogs.sh").await;

    restore_with_temporal_retained(&mut stack, &backup, &mut server, &point_in_time).await;

    // The completed submissions are restored together with their files.
    assert_eq!(stack.wait_for_status(&notified, "completed").await["status"], "completed");
    assert_files_restored(
        &stack,
        &backup,
        [(&notified, photos::retina()), (&with_cat, photos::cat())],
    )
    .await;
    // A restored run that is still open in Temporal resumes.
    finish_at_loopai(&stack, &continues);
    stack.wait_for_status(&continues, "completed").await;
    wait_for_email(&stack, &continues).await;
    assert_left_to_staff(&stack, &deferred).await;
    assert_eq!(
        signed_in_before.get("/api/v1/auth/validate").await.status(),
        401,
        "a session from before the restore is still valid"
    );
    assert_orphaned_run_can_be_retried(&stack, &ends_later).await;

    let open = "SELECT COUNT(*) FROM submissions WHERE finished_at IS NULL";
    assert_eq!(stack.database.number(open).await, 0, "a submission is still open");
    assert_eq!(
        stack.database.count_rows("submissions").await,
        5,
        "only submissions received before the restore point must be restored"
    );
    for submission in [&notified, &deferred, &continues, &with_cat] {
        assert_eq!(mails(&stack, submission).len(), 1, "{submission:?}");
    }
    assert_eq!(stack.audit_verify_error().await, None);
    stack.stop().await;
}

/// Resends the only e-mail of a submission.
async fn resend(stack: &Stack, submission: &AcceptedSubmission) {
    let staff = Staff::with_role(stack, Role::Operator).await;
    let (id, delivery) = (&submission.submission_id, delivery(stack, submission).await.id);
    let path = format!("/api/admin/submissions/{id}/deliveries/{delivery}/resend");
    let response = staff.post(&path, &json!({"reason": "not in the mail server's log"})).await;
    assert_eq!(response.status(), 202);
}

#[tokio::test]
async fn emails_that_may_have_been_sent_are_left_to_staff_after_a_restore_of_temporal() {
    let mut server = DedicatedMariaDb::with_binary_log().await;
    let mut temporal = DedicatedTemporal::start().await;
    let (mysql, address) = (Some(server.url()), Some(temporal.address()));
    let options = StackOptions { mysql, temporal: address, ..StackOptions::default() }
        .with("DIAGNOSIS_POLL_SECONDS", "0.2");
    let mut stack = Stack::with(options).await;
    let backup = Backup::of(&stack, &server).await;
    let ends_later = processing(&stack, "later@example.org").await;
    let continues = processing(&stack, "on@example.org").await;
    let point_in_time = point_in_time(&stack).await;
    let temporal_copy = TempDir::new().expect("a folder");
    temporal.kill();
    temporal.copy_to(temporal_copy.path());
    temporal.restart().await;

    // One of the two runs ends after the restore point.
    finish_at_loopai(&stack, &ends_later);
    wait_for_email(&stack, &ends_later).await;
    backup.script("binlogs.sh").await;
    stack.api.take().expect("runs").kill();
    stack.worker.take().expect("runs").kill();
    temporal.kill();

    temporal.restore_from(temporal_copy.path());
    temporal.restart().await;
    backup.restore(&mut server, &point_in_time).await;
    let settle = ["after-restore", "--temporal", "restored", "--reason", "the disk died"];
    let output = diagflow(&stack, &settle).await;
    assert!(output.contains("2 runs were open"), "{output}");
    assert!(
        diagflow(&stack, &settle).await.contains("0 runs were open"),
        "a second run of the command must find no open runs"
    );
    stack.start_worker().await;
    stack.start_api().await;

    // Both runs complete, but there is no record of whether the patients were notified before the disk failed.
    finish_at_loopai(&stack, &continues);
    for submission in [&ends_later, &continues] {
        stack.wait_for_status(submission, "completed").await;
        assert_eq!(history::wait_until_closed(&stack, submission).await, "Completed");
        assert_left_to_staff(&stack, submission).await;
        assert_eq!(executions(&stack, submission).len(), 1);
    }
    assert_eq!(mails(&stack, &ends_later).len(), 1, "another e-mail was sent after the restore");
    assert_eq!(
        mails(&stack, &continues).len(),
        0,
        "an e-mail was sent to a patient who may already have been notified"
    );
    // Staff check the mail server's log.
    resend(&stack, &continues).await;
    wait_for_email(&stack, &continues).await;
    stack.stop().await;
}
