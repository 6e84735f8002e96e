//! The scripts of `deploy/backup` on a server whose disk fails: after the restore, every submission
//! reaches a final state and no e-mail is sent twice.

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::{Delivery, DeliveryStatus, Role, Sha256};
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

/// Runs a script of `deploy/backup`; returns whether it succeeded, and its output.
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

/// Runs a script that must fail and must not report success. Returns its output.
async fn run_failing(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let (succeeded, output) = script(name, arguments, variables).await;
    assert!(!succeeded && !output.contains("is complete"), "{name}: {output}");
    output
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

/// A time (UTC) after all writes so far and before all later ones. Point-in-time recovery has a
/// resolution of one second.
async fn point_in_time(stack: &Stack) -> String {
    let next = "SELECT DATE_FORMAT(NOW() + INTERVAL 1 SECOND, '%Y-%m-%d %H:%i:%s')";
    let point_in_time = stack.database.texts(next).await.remove(0);
    eventually("the next second", || async {
        let reached = format!("SELECT CAST(NOW() >= '{point_in_time}' AS SIGNED)");
        (stack.database.number(&reached).await == 1).then_some(())
    })
    .await;
    point_in_time
}

async fn submit(stack: &Stack, email: &str, comments: &str) -> AcceptedSubmission {
    stack.client.submit(email, comments, &[photos::retina()]).await
}

/// A submission that LoopAI has accepted and does not finish.
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
    eventually("the e-mail", || async { mails(stack, submission).pop() }).await;
}

/// The only e-mail of a submission.
async fn delivery(stack: &Stack, submission: &AcceptedSubmission) -> Delivery {
    let all = stack.store.deliveries(id_of(submission)).await.expect("deliveries");
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().expect("one")
}

/// Asserts that an e-mail is not resent automatically: it may have been sent after the restored point
/// in time, so staff decide.
async fn assert_left_to_staff(stack: &Stack, submission: &AcceptedSubmission) -> Delivery {
    let delivery = delivery(stack, submission).await;
    assert_eq!(delivery.status, DeliveryStatus::Unknown);
    assert_eq!(delivery.error_code.as_deref(), Some("restored"));
    delivery
}

/// A backup of a running system, with the binary logs written since then.
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

    /// Restores everything to a point in time, on a server whose disk has failed.
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

/// A submission whose e-mail the mail server defers.
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

/// Makes changes after the point in time: e-mails are sent, a run ends, and a submission is received.
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

/// Restores everything except Temporal after a disk failure, and starts the processes again.
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

/// Asserts that a run that has meanwhile ended in Temporal is ended in the database too. Its patient
/// has received an e-mail already, so none is sent. Staff can retry it.
async fn assert_orphaned_run_can_be_retried(stack: &Stack, submission: &AcceptedSubmission) {
    let document = stack.wait_for_status(submission, "failed").await;
    assert_eq!(document["error"]["code"], "run_orphaned");
    assert_left_to_staff(stack, submission).await;
    assert_eq!(mails(stack, submission).len(), 1, "sent after the point in time");
    retry_until_completed(stack, submission).await;
}

#[tokio::test]
async fn after_a_point_in_time_restore_every_submission_reaches_a_final_state() {
    let mut server = DedicatedMariaDb::with_binary_log().await;
    let options = StackOptions { mysql: Some(server.url()), ..StackOptions::default() }
        .with("DIAGNOSIS_POLL_SECONDS", "0.2")
        .with("RECONCILE_AFTER_SECONDS", "0.5")
        .with("RECONCILE_SWEEP_SECONDS", "0.2");
    let mut stack = Stack::with(options).await;
    let signed_in_before = Staff::with_role(&stack, Role::Operator).await;

    let notified = submit(&stack, "notified@example.org", "").await;
    wait_for_email(&stack, &notified).await;
    let ends_later = processing(&stack, "later@example.org").await;
    let backup = Backup::of(&stack, &server).await;

    // After the backup, before the point in time.
    let continues = processing(&stack, "on@example.org").await;
    let photo = [photos::cat()];
    let with_cat = stack.client.submit("cat@example.org", "", &photo).await;
    wait_for_email(&stack, &with_cat).await;
    let deferred = submit_with_deferred_email(&stack).await;
    let point_in_time = point_in_time(&stack).await;

    make_changes_after_point_in_time(&stack, &deferred, &ends_later).await;
    backup.script("binlogs.sh").await;

    restore_with_temporal_retained(&mut stack, &backup, &mut server, &point_in_time).await;

    // The completed submissions are restored with their files.
    assert_eq!(stack.wait_for_status(&notified, "completed").await["status"], "completed");
    assert_files_restored(
        &stack,
        &backup,
        [(&notified, photos::retina()), (&with_cat, photos::cat())],
    )
    .await;
    // A run that is still open in Temporal continues.
    finish_at_loopai(&stack, &continues);
    stack.wait_for_status(&continues, "completed").await;
    wait_for_email(&stack, &continues).await;
    // An e-mail sent after the point in time is not resent; staff decide.
    assert_left_to_staff(&stack, &deferred).await;
    assert_eq!(
        signed_in_before.get("/api/v1/auth/validate").await.status(),
        401,
        "sessions have ended"
    );
    assert_orphaned_run_can_be_retried(&stack, &ends_later).await;

    let open = "SELECT COUNT(*) FROM submissions WHERE finished_at IS NULL";
    assert_eq!(stack.database.number(open).await, 0, "a submission is still open");
    assert_eq!(stack.database.count_rows("submissions").await, 5, "later submissions are unknown");
    for submission in [&notified, &deferred, &continues, &with_cat] {
        assert_eq!(mails(&stack, submission).len(), 1, "{submission:?}");
    }
    assert_eq!(stack.audit_verify_error().await, None);
    stack.stop().await;
}

#[tokio::test]
async fn after_temporal_is_restored_too_emails_that_may_have_been_sent_are_left_to_staff() {
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

    // After the point in time.
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
    assert!(diagflow(&stack, &settle).await.contains("0 runs were open"), "already settled");
    stack.start_worker().await;
    stack.start_api().await;

    // Both runs end. Whether their patients were notified is unknown.
    finish_at_loopai(&stack, &continues);
    for submission in [&ends_later, &continues] {
        stack.wait_for_status(submission, "completed").await;
        assert_eq!(history::wait_until_closed(&stack, submission).await, "Completed");
        assert_left_to_staff(&stack, submission).await;
        assert_eq!(executions(&stack, submission).len(), 1);
    }
    assert_eq!(mails(&stack, &ends_later).len(), 1, "sent after the point in time");
    assert_eq!(mails(&stack, &continues).len(), 0, "the patient may have been notified");
    // Staff resend it after checking the mail server's log.
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let delivery = delivery(&stack, &continues).await.id;
    let id = &continues.submission_id;
    let path = format!("/api/admin/submissions/{id}/deliveries/{delivery}/resend");
    let response = staff.post(&path, &json!({"reason": "not in the mail server's log"})).await;
    assert_eq!(response.status(), 202);
    wait_for_email(&stack, &continues).await;
    stack.stop().await;
}

/// Writes bytes into a storage folder under the digest of `named_after`; returns their path below the
/// folder.
fn stored(storage: &Path, bytes: &[u8], named_after: &[u8]) -> String {
    let digest = Sha256::of(named_after).to_string();
    let path = format!("{}/{digest}", &digest[..2]);
    std::fs::create_dir_all(storage.join(&digest[..2])).expect("a folder");
    std::fs::write(storage.join(&path), bytes).expect("written");
    path
}

#[tokio::test]
async fn an_incomplete_backup_is_reported_as_failed() {
    let server = DedicatedMariaDb::with_binary_log().await;
    let folder = TempDir::new().expect("a folder");
    let path_of = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (storage, copy) = (path_of("storage"), path_of("copy"));
    let [host, port, user] = server.client_options();
    let backup_of = async |name: &str, files: &str| {
        let variables = [("DATABASES", "mysql"), ("FILES", files), ("FILES_COPY", &*copy)];
        let output =
            run_failing("backup.sh", &[&path_of(name), &host, &port, &user], &variables).await;
        let databases = folder.path().join(name).join("dump.sql.gz");
        assert!(databases.exists(), "the databases are backed up nevertheless: {output}");
        output
    };

    // The folder does not exist: its disk is not mounted, or its name is wrong.
    let output = backup_of("of-no-folder", &storage).await;
    assert!(output.contains("no such folder"), "{output}");
    run_failing("files.sh", &[&storage, &copy], &[]).await;

    // A file is damaged; the others are copied.
    let whole = stored(Path::new(&storage), b"whole", b"whole");
    let damaged = stored(Path::new(&storage), b"damagef", b"damaged");
    let output = backup_of("with-damage", &storage).await;
    assert!(output.contains(&damaged) && output.contains("does not match its name"), "{output}");
    assert_eq!(std::fs::read(Path::new(&copy).join(&whole)).expect("copied"), b"whole");
    assert!(!Path::new(&copy).join(&damaged).exists(), "the copy holds intact files only");
    std::fs::remove_file(Path::new(&storage).join(&damaged)).expect("removed");

    // The disk of the copy is so small that only the large file does not fit.
    let large = stored(Path::new(&storage), &[7; 256 * 1024], &[7; 256 * 1024]);
    let full = path_of("full");
    std::fs::create_dir(&full).expect("a folder");
    let (succeeded, output) = copy_to_small_disk(&storage, &full).await;
    assert!(!succeeded && output.contains(&large) && output.contains("No space left"), "{output}");
    assert!(output.contains("1 new files"), "the other files are copied: {output}");

    // After the repairs, the backup succeeds.
    let variables = [("DATABASES", "mysql"), ("FILES", &*storage), ("FILES_COPY", &*copy)];
    run("backup.sh", &[&path_of("whole"), &host, &port, &user], &variables).await;
    assert!(Path::new(&copy).join(&large).exists());
}

/// Runs `files.sh` with a 64 KiB disk as its target; returns whether it succeeded, and its output.
async fn copy_to_small_disk(from: &str, to: &str) -> (bool, String) {
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/backup/files.sh");
    let mount = "mount -t tmpfs -o size=64k none \"$2\" && exec sh \"$0\" \"$1\" \"$2\"";
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", mount, files, from, to])
        .output()
        .await
        .expect("runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}
