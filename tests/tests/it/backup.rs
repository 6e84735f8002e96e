//! The scripts of `deploy/backup` on a server whose disk dies: what was promised at the moment of the restore comes
//! to its end, and nobody is told anything twice.

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::{Delivery, DeliveryStatus, Role, Sha256};
use diagflow_tests::invariants::{executions, mails};
use diagflow_tests::own_servers::{OwnMariaDb, OwnTemporal};
use diagflow_tests::stack::{AUDIT_KEY, id_of};
use diagflow_tests::staff::outcome;
use diagflow_tests::{Accepted, Stack, StackOptions, Staff, eventually, history, photos, servers};
use serde_json::json;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

/// Runs a script of `deploy/backup`; whether it ended well, and what it said.
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
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// The same, which must end well.
async fn run(name: &str, arguments: &[&str], variables: &[(&str, &str)]) {
    let (well, said) = script(name, arguments, variables).await;
    assert!(well, "{name}: {said}");
}

/// The same, which must not end well, nor say so. Returns what it said.
async fn fails(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let (well, said) = script(name, arguments, variables).await;
    assert!(!well && !said.contains("is whole"), "{name}: {said}");
    said
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

/// A moment (UTC) after everything so far, and before everything that comes: logs know whole seconds.
async fn moment(stack: &Stack) -> String {
    let next = "SELECT DATE_FORMAT(NOW() + INTERVAL 1 SECOND, '%Y-%m-%d %H:%i:%s')";
    let moment = stack.database.texts(next).await.remove(0);
    eventually("the next second", || async {
        let reached = format!("SELECT CAST(NOW() >= '{moment}' AS SIGNED)");
        (stack.database.number(&reached).await == 1).then_some(())
    })
    .await;
    moment
}

async fn submit(stack: &Stack, email: &str, comments: &str) -> Accepted {
    stack.client.submit(email, comments, &[photos::retina()]).await
}

/// A submission that LoopAI took and does not answer.
async fn at_work(stack: &Stack, email: &str) -> Accepted {
    let accepted = submit(stack, email, "[sim: stuck]").await;
    stack.until(&accepted, "processing").await;
    accepted
}

/// LoopAI ends the newest execution of a submission.
fn end_at_loopai(stack: &Stack, submission: &Accepted) {
    let all = executions(stack, submission);
    let newest = &all.last().expect("an execution").execution_id;
    stack.loopai.complete_with(newest, json!({"summary": "dry skin"})).expect("at work");
}

async fn mail_comes(stack: &Stack, submission: &Accepted) {
    eventually("the e-mail", || async { mails(stack, submission).pop() }).await;
}

/// The one e-mail that a submission owes, or owed.
async fn delivery(stack: &Stack, submission: &Accepted) -> Delivery {
    let all = stack.store.deliveries(id_of(submission)).await.expect("deliveries");
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().expect("one")
}

/// It may have been sent after the moment: it is not sent again by itself, and staff decide.
async fn is_left_to_staff(stack: &Stack, submission: &Accepted) -> Delivery {
    let delivery = delivery(stack, submission).await;
    assert_eq!(delivery.status, DeliveryStatus::Unknown);
    assert_eq!(delivery.error_code.as_deref(), Some("restored"));
    delivery
}

/// A backup of a working service, and what happened since.
struct Backup {
    folder: TempDir,
    client: [String; 3],
    database: String,
    stored: String,
}

impl Backup {
    async fn of(stack: &Stack, server: &OwnMariaDb) -> Backup {
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

    fn inside(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("text").to_owned()
    }

    async fn script(&self, name: &str) {
        let files = self.inside("files");
        let variables =
            [("DATABASES", &*self.database), ("FILES", &self.stored), ("FILES_COPY", &files)];
        let backup = self.inside("backup");
        let client = self.client.iter().map(String::as_str);
        let arguments: Vec<_> = [&*backup].into_iter().chain(client).collect();
        run(name, &arguments, &variables).await;
    }

    /// Brings all of it back, as of a moment, to a server whose disk has died.
    async fn bring_back(&self, server: &mut OwnMariaDb, moment: &str) {
        server.replace().await;
        std::fs::remove_dir_all(&self.stored).expect("removed");
        run("files.sh", &[&self.inside("files"), &self.stored], &[]).await;
        let backup = self.inside("backup");
        let client = self.client.iter().map(String::as_str);
        let restore: Vec<_> = [&*backup, "--until", moment].into_iter().chain(client).collect();
        run("restore.sh", &restore, &[]).await;
        let (well, said) = script("restore.sh", &restore, &[]).await;
        assert!(!well && said.contains("the server is not empty"), "{said}");
    }
}

#[tokio::test]
async fn after_a_restore_to_a_moment_every_submission_of_that_moment_ends() {
    let mut server = OwnMariaDb::with_binary_log().await;
    let options = StackOptions { mysql: Some(server.url()), ..StackOptions::default() }
        .with("DIAGNOSIS_POLL_SECONDS", "0.2")
        .with("LOST_AFTER_SECONDS", "0.5")
        .with("LOST_SWEEP_SECONDS", "0.2");
    let mut stack = Stack::with(options).await;
    let before = Staff::with_role(&stack, Role::Operator).await;

    let told = submit(&stack, "told@example.org", "").await;
    mail_comes(&stack, &told).await;
    let ended_later = at_work(&stack, "later@example.org").await;
    let backup = Backup::of(&stack, &server).await;

    // After the backup, before the moment.
    let goes_on = at_work(&stack, "on@example.org").await;
    let photo = [photos::cat()];
    let with_a_cat = stack.client.submit("cat@example.org", "", &photo).await;
    mail_comes(&stack, &with_a_cat).await;
    let later = Rule::reply(Step::Rcpt, 451, "4.7.1 Later").only_for("owed@example.org");
    stack.mail.set_script([later]).expect("a script");
    let owed = submit(&stack, "owed@example.org", "").await;
    eventually("an e-mail that is put off", || async {
        let all = stack.store.deliveries(id_of(&owed)).await.expect("deliveries");
        all.first().filter(|one| one.attempts > 0).map(|_| ())
    })
    .await;
    let moment = moment(&stack).await;

    // After the moment.
    stack.mail.set_script([]).expect("a script");
    mail_comes(&stack, &owed).await;
    end_at_loopai(&stack, &ended_later);
    mail_comes(&stack, &ended_later).await;
    let forgotten = submit(&stack, "forgotten@example.org", "").await;
    mail_comes(&stack, &forgotten).await;
    backup.script("binlogs.sh").await;

    stack.api.take().expect("runs").kill();
    stack.worker.take().expect("runs").kill();
    backup.bring_back(&mut server, &moment).await;
    let settle = ["after-restore", "--temporal", "kept", "--reason", "the disk died"];
    let said = diagflow(&stack, &settle).await;
    assert!(said.contains("1 e-mails that were owed are unknown now"), "{said}");
    assert!(said.contains("2 runs were open"), "{said}");
    assert!(said.contains("1 sessions ended"), "{said}");
    stack.start_worker().await;
    stack.start_api().await;

    // As it was, with its bytes.
    assert_eq!(stack.until(&told, "completed").await["status"], "completed");
    for (submission, photo) in [(&told, photos::retina()), (&with_a_cat, photos::cat())] {
        let files = stack.store.files(id_of(submission)).await.expect("files");
        let digest = files[0].sha256.to_string();
        let bytes = std::fs::read(Path::new(&backup.stored).join(&digest[..2]).join(&digest));
        assert_eq!(bytes.expect("bytes"), photo.bytes);
    }
    // What Temporal still has goes on as if nothing had been.
    end_at_loopai(&stack, &goes_on);
    stack.until(&goes_on, "completed").await;
    mail_comes(&stack, &goes_on).await;
    // What was sent after the moment is not sent again; staff decide.
    is_left_to_staff(&stack, &owed).await;
    // What Temporal has ended meanwhile ends here too, without a word to its patient, who has had one, and staff
    // set it going again.
    let document = stack.until(&ended_later, "failed").await;
    assert_eq!(document["error"]["code"], "run_lost");
    is_left_to_staff(&stack, &ended_later).await;
    assert_eq!(mails(&stack, &ended_later).len(), 1, "of after the moment");
    assert_eq!(before.get("/api/v1/auth/validate").await.status(), 401, "whoever was signed in");
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let path = format!("/api/admin/submissions/{}/retry", ended_later.submission_id);
    let answer = staff.post(&path, &json!({"reason": "restored"})).await;
    assert_eq!(outcome(answer).await, (202, "queued".to_owned()));
    eventually("a second execution", || async {
        (executions(&stack, &ended_later).len() == 2).then_some(())
    })
    .await;
    end_at_loopai(&stack, &ended_later);
    stack.until(&ended_later, "completed").await;

    let open = "SELECT COUNT(*) FROM submissions WHERE finished_at IS NULL";
    assert_eq!(stack.database.number(open).await, 0, "every submission of that moment has ended");
    assert_eq!(stack.database.rows("submissions").await, 5, "what came after it is not known");
    for submission in [&told, &owed, &goes_on, &with_a_cat] {
        assert_eq!(mails(&stack, submission).len(), 1, "{submission:?}");
    }
    assert_eq!(stack.audit_fault().await, None);
    stack.stop().await;
}

#[tokio::test]
async fn what_may_have_been_told_before_temporal_was_brought_back_too_is_left_to_staff() {
    let mut server = OwnMariaDb::with_binary_log().await;
    let mut temporal = OwnTemporal::start().await;
    let (mysql, address) = (Some(server.url()), Some(temporal.address()));
    let options = StackOptions { mysql, temporal: address, ..StackOptions::default() }
        .with("DIAGNOSIS_POLL_SECONDS", "0.2");
    let mut stack = Stack::with(options).await;
    let backup = Backup::of(&stack, &server).await;
    let ended_later = at_work(&stack, "later@example.org").await;
    let goes_on = at_work(&stack, "on@example.org").await;
    let moment = moment(&stack).await;
    let of_temporal = TempDir::new().expect("a folder");
    temporal.kill();
    temporal.copy_to(of_temporal.path());
    temporal.restart().await;

    // After the moment.
    end_at_loopai(&stack, &ended_later);
    mail_comes(&stack, &ended_later).await;
    backup.script("binlogs.sh").await;
    stack.api.take().expect("runs").kill();
    stack.worker.take().expect("runs").kill();
    temporal.kill();

    temporal.bring_back(of_temporal.path());
    temporal.restart().await;
    backup.bring_back(&mut server, &moment).await;
    let settle = ["after-restore", "--temporal", "restored", "--reason", "the disk died"];
    let said = diagflow(&stack, &settle).await;
    assert!(said.contains("2 runs were open"), "{said}");
    assert!(diagflow(&stack, &settle).await.contains("0 runs were open"), "it was done before");
    stack.start_worker().await;
    stack.start_api().await;

    // Both end; nobody knows whose patient had been told.
    end_at_loopai(&stack, &goes_on);
    for submission in [&ended_later, &goes_on] {
        stack.until(submission, "completed").await;
        assert_eq!(history::closed(&stack, submission).await, "Completed");
        is_left_to_staff(&stack, submission).await;
        assert_eq!(executions(&stack, submission).len(), 1);
    }
    assert_eq!(mails(&stack, &ended_later).len(), 1, "of after the moment");
    assert_eq!(mails(&stack, &goes_on).len(), 0, "it may have been told");
    // Staff do, by the mail server's own log.
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let delivery = delivery(&stack, &goes_on).await.id;
    let id = &goes_on.submission_id;
    let path = format!("/api/admin/submissions/{id}/deliveries/{delivery}/resend");
    let answer = staff.post(&path, &json!({"reason": "not in the log"})).await;
    assert_eq!(answer.status(), 202);
    mail_comes(&stack, &goes_on).await;
    stack.stop().await;
}

/// Puts bytes into a storage's folder, under a name that is their digest, or that of others; returns its path there.
fn stored(storage: &Path, bytes: &[u8], named_after: &[u8]) -> String {
    let digest = Sha256::of(named_after).to_string();
    let path = format!("{}/{digest}", &digest[..2]);
    std::fs::create_dir_all(storage.join(&digest[..2])).expect("a folder");
    std::fs::write(storage.join(&path), bytes).expect("written");
    path
}

#[tokio::test]
async fn a_copy_that_is_not_whole_does_not_pass_for_one() {
    let server = OwnMariaDb::with_binary_log().await;
    let folder = TempDir::new().expect("a folder");
    let inside = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (storage, copy) = (inside("storage"), inside("copy"));
    let [host, port, user] = server.client_options();
    let backup_of = async |name: &str, files: &str| {
        let variables = [("DATABASES", "mysql"), ("FILES", files), ("FILES_COPY", &*copy)];
        let said = fails("backup.sh", &[&inside(name), &host, &port, &user], &variables).await;
        let databases = folder.path().join(name).join("dump.sql.gz");
        assert!(databases.exists(), "the databases are kept all the same: {said}");
        said
    };

    // The folder is not there: its disk is not mounted, or the name is wrong.
    let said = backup_of("of-no-folder", &storage).await;
    assert!(said.contains("there is no folder"), "{said}");
    fails("files.sh", &[&storage, &copy], &[]).await;

    // A file is damaged; the others are copied.
    let whole = stored(Path::new(&storage), b"whole", b"whole");
    let damaged = stored(Path::new(&storage), b"damagef", b"damaged");
    let said = backup_of("with-damage", &storage).await;
    assert!(said.contains(&damaged) && said.contains("not what its name says"), "{said}");
    assert_eq!(std::fs::read(Path::new(&copy).join(&whole)).expect("copied"), b"whole");
    assert!(!Path::new(&copy).join(&damaged).exists(), "what is in the copy is good");
    std::fs::remove_file(Path::new(&storage).join(&damaged)).expect("removed");

    // The copy's disk is full: it takes small files, and not the large one.
    let large = stored(Path::new(&storage), &[7; 256 * 1024], &[7; 256 * 1024]);
    let full = inside("full");
    std::fs::create_dir(&full).expect("a folder");
    let (well, said) = copied_to_a_small_disk(&storage, &full).await;
    assert!(!well && said.contains(&large) && said.contains("No space left"), "{said}");
    assert!(said.contains("1 new files"), "the others are copied: {said}");

    // Whole again, it says so.
    let variables = [("DATABASES", "mysql"), ("FILES", &*storage), ("FILES_COPY", &*copy)];
    run("backup.sh", &[&inside("whole"), &host, &port, &user], &variables).await;
    assert!(Path::new(&copy).join(&large).exists());
}

/// Runs `files.sh` towards a disk of 64 KiB, which nobody else sees; whether it ended well, and what it said.
async fn copied_to_a_small_disk(from: &str, to: &str) -> (bool, String) {
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/backup/files.sh");
    let mount = "mount -t tmpfs -o size=64k none \"$2\" && exec sh \"$0\" \"$1\" \"$2\"";
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", mount, files, from, to])
        .output()
        .await
        .expect("runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
