//! The scripts of `deploy/backup` on a server whose disk dies: what was promised at the moment of the restore comes
//! to its end, and nobody is told anything twice.

use diagflow_simulators::mail::{Rule, Step};
use diagflow_store::{DeliveryStatus, Role};
use diagflow_tests::invariants::{executions, mails};
use diagflow_tests::own_servers::OwnMariaDb;
use diagflow_tests::stack::id_of;
use diagflow_tests::staff::{AUDIT_KEY, outcome};
use diagflow_tests::{Accepted, Stack, StackOptions, Staff, eventually, photos, servers};
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

#[tokio::test]
async fn after_a_restore_to_a_moment_every_submission_of_that_moment_ends() {
    let mut server = OwnMariaDb::with_binary_log().await;
    let options = StackOptions { mysql: Some(server.url()), ..StackOptions::default() }
        .with("DIAGNOSIS_POLL_SECONDS", "0.2")
        .with("LOST_AFTER_SECONDS", "0.5")
        .with("LOST_SWEEP_SECONDS", "0.2");
    let mut stack = Stack::with(options).await;
    let before = Staff::with_role(&stack, Role::Operator).await;
    let folder = TempDir::new().expect("a folder");
    let inside = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (backup, files) = (inside("backup"), inside("files"));
    let client = server.client_options();
    let client: Vec<_> = client.iter().map(String::as_str).collect();

    let told = submit(&stack, "told@example.org", "").await;
    mail_comes(&stack, &told).await;
    let ended_later = at_work(&stack, "later@example.org").await;
    let stored = stack.files().to_str().expect("text").to_owned();
    let variables =
        [("DATABASES", stack.database.name()), ("FILES", &stored), ("FILES_COPY", &files)];
    let of_backup = [&[backup.as_str()], &client[..]].concat();
    run("backup.sh", &of_backup, &variables).await;
    run("binlogs.sh", &of_backup, &variables).await;

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
    run("binlogs.sh", &of_backup, &variables).await;

    stack.api.take().expect("runs").kill();
    stack.worker.take().expect("runs").kill();
    server.replace().await;
    std::fs::remove_dir_all(&stored).expect("removed");
    run("files.sh", &[&files, &stored], &[]).await;
    let restore = [backup.as_str(), "--until", &moment];
    let restore = [&restore[..], &client[..]].concat();
    run("restore.sh", &restore, &[]).await;
    let (well, said) = script("restore.sh", &restore, &[]).await;
    assert!(!well && said.contains("the server is not empty"), "{said}");
    let said = diagflow(&stack, &["after-restore", "--reason", "the disk died"]).await;
    assert!(said.contains("1 e-mails that were owed are unknown now"), "{said}");
    assert!(said.contains("1 sessions ended"), "{said}");
    stack.start_worker().await;
    stack.start_api().await;

    // As it was, with its bytes.
    assert_eq!(stack.until(&told, "completed").await["status"], "completed");
    for (submission, photo) in [(&told, photos::retina()), (&with_a_cat, photos::cat())] {
        let files = stack.store.files(id_of(submission)).await.expect("files");
        let digest = files[0].sha256.to_string();
        let bytes = std::fs::read(Path::new(&stored).join(&digest[..2]).join(&digest));
        assert_eq!(bytes.expect("bytes"), photo.bytes);
    }
    // What Temporal still has goes on as if nothing had been.
    end_at_loopai(&stack, &goes_on);
    stack.until(&goes_on, "completed").await;
    mail_comes(&stack, &goes_on).await;
    // What was sent after the moment is not sent again; staff decide.
    let deliveries = stack.store.deliveries(id_of(&owed)).await.expect("deliveries");
    assert_eq!(deliveries[0].status, DeliveryStatus::Unknown);
    assert_eq!(deliveries[0].error_code.as_deref(), Some("restored"));
    // What Temporal has ended meanwhile ends here too, and staff set it going again.
    let document = stack.until(&ended_later, "failed").await;
    assert_eq!(document["error"]["code"], "run_lost");
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
