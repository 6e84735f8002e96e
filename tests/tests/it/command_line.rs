//! The commands as people type them: what they print, and how they end.

use diagflow_simulators::loopai;
use diagflow_store::Failpoint;
use diagflow_tests::database::Database;
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::ports::free_port;
use diagflow_tests::process::Process;
use diagflow_tests::stack::usual_loopai;
use diagflow_tests::{Proxy, Stack, StackOptions, eventually, history, photos, servers};
use reqwest::StatusCode;
use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use tokio::process::Command;
use tokio::time::timeout;

/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:1";

/// How a command ended, and what it printed.
#[derive(Debug)]
struct Ended {
    well: bool,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Ended { well: output.status.success(), stdout, stderr }
    }
}

/// Runs `diagflow` with nothing in its environment but `variables`, for at most [`LIMIT`].
async fn diagflow(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(servers::diagflow());
    command.args(arguments).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    let output = timeout(LIMIT, command.kill_on_drop(true).output());
    output.await.unwrap_or_else(|_| panic!("{arguments:?} does not end")).expect("runs").into()
}

fn retina() -> String {
    photos::path("retina.jpg").display().to_string()
}

/// Arguments of a good submission to `server`.
async fn submit(server: &str, more: &[&str]) -> Ended {
    let photo = retina();
    let usual = ["submit", &photo, "--email", "me@example.org", "--server", server];
    diagflow(&[&usual[..], more].concat(), &[]).await
}

#[tokio::test]
async fn submit_follows_a_photo_to_its_result() {
    let stack = Stack::start().await;

    let ended = submit(&stack.client.address("/"), &["--consent", "--comments", "itches"]).await;

    assert!(ended.well, "{ended:?}");
    assert_eq!(ended.stderr, "");
    let id = ended.stdout.split("Accepted: submission ").nth(1).expect("an id").lines().next();
    let id = id.expect("a line").parse().expect("an id");
    let submission = stack.store.submission(id).await.expect("read").expect("stored");
    assert_eq!(submission.comments, "itches");
    for told in stack.store.events(id, 0).await.expect("events").iter().take(4) {
        let line = ended.stdout.lines().find(|line| line.ends_with(&told.message));
        assert!(
            line.is_some_and(|line| line.contains(told.status.name())),
            "{told:?} in {ended:?}"
        );
    }
    let result = stack.store.result(id).await.expect("read").expect("a result");
    let summary = result.object()["summary"].as_str().expect("a summary");
    assert!(ended.stdout.contains(summary), "{summary:?} in {ended:?}");
    stack.stop().await;
}

#[tokio::test]
async fn submit_tells_of_a_bad_end() {
    let stack = Stack::with(StackOptions::default().scenario("fail")).await;

    let ended = submit(&stack.client.address("/"), &["--consent"]).await;

    assert!(!ended.well, "{ended:?}");
    assert!(ended.stdout.contains("We could not complete your diagnosis."), "{ended:?}");
    assert!(ended.stderr.contains("the submission ended as failed"), "{ended:?}");
    stack.stop().await;
}

#[tokio::test]
async fn submit_without_consent_is_refused() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;

    let ended = submit(&stack.client.address("/"), &[]).await;

    assert!(!ended.well, "{ended:?}");
    assert!(ended.stderr.contains("refused (400)"), "{ended:?}");
    assert!(ended.stderr.contains("Consent is required"), "{ended:?}");
    assert_eq!(stack.database.rows("submissions").await, 0);
    stack.stop().await;
}

#[tokio::test]
async fn submit_names_a_file_that_is_not_there() {
    let arguments = ["submit", "no-such-photo.jpg", "--email", "me@example.org", "--consent"];
    let ended = diagflow(&arguments, &[("DIAGFLOW_URL", NOWHERE)]).await;

    assert!(!ended.well, "{ended:?}");
    assert!(ended.stderr.contains("cannot read no-such-photo.jpg"), "{ended:?}");
}

#[tokio::test]
async fn submit_says_at_once_that_nobody_listens() {
    let begun = std::time::Instant::now();
    let ended = submit(NOWHERE, &["--consent"]).await;

    assert!(!ended.well, "{ended:?}");
    assert!(ended.stderr.contains("cannot reach http://127.0.0.1:1/"), "{ended:?}");
    assert!(ended.stderr.contains("is the API running?"), "{ended:?}");
    // The pauses between repeats alone would take 30 s.
    assert!(begun.elapsed().as_secs() < 20, "after {:?}", begun.elapsed());
}

#[tokio::test]
async fn migrate_may_be_run_again() {
    let database = Database::empty().await;
    let url = database.url();
    let variables = [("DATABASE_URL", url.as_str())];

    let first = diagflow(&["migrate"], &variables).await;
    let again = diagflow(&["migrate"], &variables).await;

    assert!(first.well && first.stdout.contains("applied 0001"), "{first:?}");
    assert!(again.well, "{again:?}");
    assert_eq!(again.stdout, "nothing to do: the database is up to date\n");
    assert_eq!(database.rows("submissions").await, 0);
    database.remove().await;
}

#[tokio::test]
async fn a_wrong_setting_is_refused_with_its_name_and_the_remedy() {
    for command in ["serve", "work", "migrate"] {
        let wrong = [("LISTEN_ADDRESS", "everywhere"), ("SMTP_TLS", "perhaps")];
        let ended = diagflow(&[command], &wrong).await;

        assert!(!ended.well, "{ended:?}");
        let address = "LISTEN_ADDRESS cannot be read; it must be an address and a port, such as";
        assert!(ended.stderr.contains(address), "{ended:?}");
        let tls = "SMTP_TLS cannot be read; it must be implicit, starttls or none";
        assert!(ended.stderr.contains(tls), "{ended:?}");
    }
}

#[tokio::test]
async fn production_does_not_start_on_the_default_secret() {
    let production = [("DIAGFLOW_ENV", "production"), ("PUBLIC_URL", "https://example.org")];

    let ended = diagflow(&["serve"], &production).await;

    assert!(!ended.well, "{ended:?}");
    let remedy = "SECRET_KEY must be set to at least 32 random characters in production";
    assert!(ended.stderr.contains(remedy), "{ended:?}");
    assert!(
        !ended.stderr.contains("development-only"),
        "the secret itself is not shown: {ended:?}"
    );
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_setting() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;
    let taken = stack.client.address("").trim_start_matches("http://").to_owned();
    let storage = format!("file://{}", stack.files().display());
    let url = stack.database.url();
    let variables =
        [("LISTEN_ADDRESS", taken.as_str()), ("DATABASE_URL", &url), ("STORAGE_URL", &storage)];

    let ended = diagflow(&["serve"], &variables).await;

    assert!(!ended.well, "{ended:?}");
    let message = format!("cannot listen on {taken} (LISTEN_ADDRESS)");
    assert!(ended.stderr.contains(&message), "{ended:?}");
    stack.stop().await;
}

#[tokio::test]
async fn migrate_names_the_database_that_does_not_answer_without_its_password() {
    let url = "mysql://diagflow:hunter2@127.0.0.1:1/diagflow";
    let ended = diagflow(&["migrate"], &[("DATABASE_URL", url)]).await;

    assert!(!ended.well, "{ended:?}");
    let message = "cannot migrate the database at 127.0.0.1:1 (DATABASE_URL)";
    assert!(ended.stderr.contains(message), "{ended:?}");
    assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
}

#[tokio::test]
async fn serve_and_work_name_the_database_that_does_not_answer_without_its_password() {
    let url = "mysql://diagflow:hunter2@127.0.0.1:1/diagflow";
    let folder = tempfile::TempDir::new().expect("a folder");
    for role in ["serve", "work"] {
        let address = format!("127.0.0.1:{}", free_port());
        let variables = BTreeMap::from([
            ("DATABASE_URL", url.to_owned()),
            ("DATABASE_WAIT_SECONDS", "0.2".to_owned()),
            ("STORAGE_URL", format!("file://{}", folder.path().display())),
            ("LISTEN_ADDRESS", address.clone()),
            ("WORKER_LISTEN_ADDRESS", address),
            ("TEMPORAL_ADDRESS", "127.0.0.1:1".to_owned()),
        ]);
        let process = Process::start(role, &variables, folder.path().join(role));
        let told = || async {
            let log = process.log();
            let line = log.lines().find(|line| line.contains("(DATABASE_URL)"))?;
            assert!(line.contains("127.0.0.1:1"), "{line}");
            Some(())
        };
        eventually("the database to be named", told).await;
        assert!(!process.log().contains("hunter2"), "{}", process.log());
        process.stopped().await;
    }
}

#[tokio::test]
async fn submit_ends_quietly_when_nobody_reads_on() {
    let stack = Stack::start().await;
    let (photo, server) = (retina(), stack.client.address("/"));
    let arguments = ["submit", &photo, "--email", "me@example.org", "--consent", "--server"];
    let mut command = Command::new(servers::diagflow());
    command.args(arguments).arg(server).env_clear().stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("starts");

    drop(child.stdout.take());

    let output = timeout(LIMIT, child.wait_with_output()).await.expect("ends").expect("runs");
    let ended = Ended::from(output);
    assert!(ended.well, "{ended:?}");
    assert_eq!(ended.stderr, "");
    stack.stop().await;
}

/// Whether the metrics at `address` have this line.
async fn shows(address: &str, line: &str) -> bool {
    let Ok(answer) = reqwest::get(format!("http://{address}/metrics")).await else { return false };
    answer.text().await.is_ok_and(|text| text.lines().any(|it| it == line))
}

#[tokio::test]
async fn the_worker_counts_what_it_did() {
    let address = format!("127.0.0.1:{}", free_port());
    let options = StackOptions::default().with("WORKER_LISTEN_ADDRESS", address.clone());
    let (stack, submission) = Stack::with_submission(options).await;
    stack.until(&submission, "completed").await;

    for expected in [
        r#"diagflow_loopai_calls_total{call="diagnose",outcome="ok"} 1"#,
        r#"diagflow_submissions_ended_total{status="completed"} 1"#,
        r#"diagflow_submissions_ended_total{status="failed"} 0"#,
        r#"diagflow_deliveries_total{outcome="sent"} 1"#,
    ] {
        eventually(expected, || async { shows(&address, expected).await.then_some(()) }).await;
    }

    // A run that is reset finds its e-mail sent, and nothing new to count.
    assert_eq!(history::closed(&stack, &submission).await, "Completed");
    history::reset(&stack, &submission).await;
    assert_eq!(history::closed(&stack, &submission).await, "Completed");
    assert!(shows(&address, r#"diagflow_deliveries_total{outcome="sent"} 1"#).await);
    stack.stop().await;
}

#[tokio::test]
async fn an_execution_that_is_known_to_run_in_vain_is_counted_and_told() {
    let keyless = loopai::Settings { honour_idempotency: false, ..usual_loopai() };
    let options = StackOptions { loopai: Some(keyless), ..StackOptions::default() };
    let mut stack = Stack::without_processes(options.scenario("stuck")).await;
    stack.start_api().await;
    let temporal = Proxy::to(&servers::temporal()).await;
    stack.set("TEMPORAL_ADDRESS", temporal.address());
    stack.start_worker().await;
    let first = stack.variable("WORKER_LISTEN_ADDRESS");
    assert!(shows(&first, "diagflow_loopai_executions_in_vain_total 0").await);
    stack.failpoints.arm(Failpoint::RequestAnswered);
    let submission = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    stack.failpoints.reached(Failpoint::RequestAnswered).await;

    // It loses Temporal, which has another worker do it.
    temporal.cut();
    stack.set("TEMPORAL_ADDRESS", servers::temporal());
    let (second, _) = stack.start_second_worker().await;
    stack.until(&submission, "processing").await;
    stack.failpoints.release(Failpoint::RequestAnswered);

    let counted = "diagflow_loopai_executions_in_vain_total 1";
    eventually(counted, || async { shows(&first, counted).await.then_some(()) }).await;
    let executions = stack.loopai.executions();
    let [in_vain, followed] = &*executions else { panic!("two of them: {executions:?}") };
    let log = stack.worker.as_ref().expect("runs").log();
    let told = log.lines().find(|line| line.contains("in_vain=")).expect("a warning");
    assert!(told.contains(&format!("in_vain={}", in_vain.execution_id)), "{told}");
    assert!(told.contains(&format!("followed={}", followed.execution_id)), "{told}");
    temporal.mend();
    second.stopped().await;
    stack.stop().await;
}

#[tokio::test]
async fn a_worker_that_lost_temporal_is_not_ready_until_it_is_back() {
    let temporal = Proxy::to(&servers::temporal()).await;
    let address = format!("127.0.0.1:{}", free_port());
    let options = StackOptions::default()
        .with("WORKER_LISTEN_ADDRESS", address.clone())
        .with("TEMPORAL_ADDRESS", temporal.address());
    let mut stack = Stack::without_processes(options).await;
    stack.start_worker().await;
    let ready_is = async |status: StatusCode| {
        eventually(format!("/ready to answer {status}"), || async {
            let answer = reqwest::get(format!("http://{address}/ready")).await.ok()?;
            (answer.status() == status).then_some(())
        })
        .await;
    };

    temporal.cut();
    ready_is(StatusCode::SERVICE_UNAVAILABLE).await;
    temporal.mend();
    ready_is(StatusCode::OK).await;
    stack.stop().await;
}
