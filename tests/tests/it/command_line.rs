//! Runs each command as a user would and checks its output and exit status.

use diagflow_simulators::loopai;
use diagflow_store::Failpoint;
use diagflow_tests::database::Database;
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::ports::free_port;
use diagflow_tests::process::Process;
use diagflow_tests::stack::fast_loopai;
use diagflow_tests::{Proxy, Stack, StackOptions, eventually, history, photos, servers};
use reqwest::StatusCode;
use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use tokio::process::Command;
use tokio::time::timeout;

/// URL of a port that no process listens on.
const NOWHERE: &str = "http://127.0.0.1:1";

/// Exit status and output of a command.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Exit {
    fn from(output: Output) -> Exit {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Exit { success: output.status.success(), stdout, stderr }
    }
}

/// Runs `diagflow` with only `variables` in its environment, for at most [`LIMIT`].
async fn diagflow(arguments: &[&str], variables: &[(&str, &str)]) -> Exit {
    let mut command = Command::new(servers::diagflow());
    command.args(arguments).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    let output = timeout(LIMIT, command.kill_on_drop(true).output());
    output.await.unwrap_or_else(|_| panic!("{arguments:?} does not exit")).expect("runs").into()
}

fn retina() -> String {
    photos::path("retina.jpg").display().to_string()
}

/// Sends a valid submission to `server`.
async fn submit(server: &str, more: &[&str]) -> Exit {
    let photo = retina();
    let usual = ["submit", &photo, "--email", "me@example.org", "--server", server];
    diagflow(&[&usual[..], more].concat(), &[]).await
}

#[tokio::test]
async fn submit_waits_for_the_result() {
    let stack = Stack::start().await;

    let exit = submit(&stack.client.url("/"), &["--consent", "--comments", "itches"]).await;

    assert!(exit.success, "{exit:?}");
    assert_eq!(exit.stderr, "");
    let id = exit.stdout.split("Accepted: submission ").nth(1).expect("an id").lines().next();
    let id = id.expect("a line").parse().expect("an id");
    let submission = stack.store.submission(id).await.expect("read").expect("stored");
    assert_eq!(submission.comments, "itches");
    // The fourth event is not compared because its message depends on the delivery status of the e-mail.
    assert!(exit.stdout.contains("Your results are ready! Check your email."), "{exit:?}");
    for logged in stack.store.events(id, 0).await.expect("events").iter().take(3) {
        let line = exit.stdout.lines().find(|line| line.ends_with(&logged.message));
        assert!(
            line.is_some_and(|line| line.contains(logged.status.name())),
            "{logged:?} in {exit:?}"
        );
    }
    let result = stack.store.result(id).await.expect("read").expect("a result");
    let summary = result.object()["summary"].as_str().expect("a summary");
    assert!(exit.stdout.contains(summary), "{summary:?} in {exit:?}");
    stack.stop().await;
}

#[tokio::test]
async fn submit_reports_a_failed_submission() {
    let stack = Stack::with(StackOptions::default().scenario("fail")).await;

    let exit = submit(&stack.client.url("/"), &["--consent"]).await;

    assert!(!exit.success, "{exit:?}");
    assert!(exit.stdout.contains("We could not complete your diagnosis."), "{exit:?}");
    assert!(exit.stderr.contains("the submission has the status failed"), "{exit:?}");
    stack.stop().await;
}

#[tokio::test]
async fn submit_without_consent_is_rejected() {
    let stack = Stack::api_only(StackOptions::default()).await;

    let exit = submit(&stack.client.url("/"), &[]).await;

    assert!(!exit.success, "{exit:?}");
    assert!(exit.stderr.contains("rejected (400)"), "{exit:?}");
    assert!(exit.stderr.contains("Consent is required"), "{exit:?}");
    assert_eq!(stack.database.count_rows("submissions").await, 0);
    stack.stop().await;
}

#[tokio::test]
async fn submit_reports_the_name_of_a_missing_file() {
    let arguments = ["submit", "no-such-photo.jpg", "--email", "me@example.org", "--consent"];
    let exit = diagflow(&arguments, &[("DIAGFLOW_URL", NOWHERE)]).await;

    assert!(!exit.success, "{exit:?}");
    assert!(exit.stderr.contains("cannot read no-such-photo.jpg"), "{exit:?}");
}

#[tokio::test]
async fn submit_reports_an_unreachable_server_at_once() {
    let started = std::time::Instant::now();
    let exit = submit(NOWHERE, &["--consent"]).await;

    assert!(!exit.success, "{exit:?}");
    assert!(exit.stderr.contains("cannot reach http://127.0.0.1:1/"), "{exit:?}");
    assert!(exit.stderr.contains("is the API running?"), "{exit:?}");
    // If the command retried, the pauses between attempts alone would add up to 30 s.
    assert!(started.elapsed().as_secs() < 20, "after {:?}", started.elapsed());
}

#[tokio::test]
async fn migrate_can_be_run_repeatedly() {
    let database = Database::empty().await;
    let url = database.url();
    let variables = [("DATABASE_URL", url.as_str())];

    let first = diagflow(&["migrate"], &variables).await;
    let second = diagflow(&["migrate"], &variables).await;

    assert!(first.success && first.stdout.contains("applied 0001"), "{first:?}");
    assert!(second.success, "{second:?}");
    assert_eq!(second.stdout, "the database is up to date\n");
    assert_eq!(database.count_rows("submissions").await, 0);
    database.remove().await;
}

#[tokio::test]
async fn an_invalid_setting_is_rejected_with_its_name_and_the_fix() {
    for command in ["serve", "work"] {
        let invalid = [("LISTEN_ADDRESS", "everywhere"), ("SMTP_TLS", "perhaps")];
        let exit = diagflow(&[command], &invalid).await;

        assert!(!exit.success, "{exit:?}");
        let address = "LISTEN_ADDRESS: Address and port that the API listens on, such as";
        assert!(exit.stderr.contains(address), "{exit:?}");
        let tls =
            "SMTP_TLS: Encryption of the connection to the mail server: `implicit` (port 465),";
        assert!(exit.stderr.contains(tls), "{exit:?}");
    }
}

#[tokio::test]
async fn production_does_not_start_with_unsafe_settings() {
    let production = [
        ("DIAGFLOW_ENV", "production"),
        ("PUBLIC_URL", "https://example.org"),
        ("CORS_ORIGINS", "*"),
        ("LOOPAI_API_URL", "http://loopai.example.org"),
    ];
    for (command, problems) in [
        (
            "serve",
            &[
                "SECRET_KEY: Use at least 32 random characters in production.",
                "CORS_ORIGINS: Use only https origins in production",
                "TRUSTED_PROXIES: Set the number of reverse proxies in production.",
            ][..],
        ),
        (
            "work",
            &[
                "SECRET_KEY: Use at least 32 random characters in production.",
                "SMTP_HOST: Set the mail server in production",
                "LOOPAI_API_URL: Use an https address in production",
            ],
        ),
    ] {
        let exit = diagflow(&[command], &production).await;

        assert!(!exit.success, "{exit:?}");
        for problem in problems {
            assert!(exit.stderr.contains(problem), "{problem}: {exit:?}");
        }
        assert!(!exit.stderr.contains("development-only"), "the output has a secret: {exit:?}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_reported_with_its_setting() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let taken = stack.client.url("").trim_start_matches("http://").to_owned();
    let storage = format!("file://{}", stack.files().display());
    let url = stack.database.url();
    let variables =
        [("LISTEN_ADDRESS", taken.as_str()), ("DATABASE_URL", &url), ("STORAGE_URL", &storage)];

    let exit = diagflow(&["serve"], &variables).await;

    assert!(!exit.success, "{exit:?}");
    let message = format!("cannot listen on {taken} (LISTEN_ADDRESS)");
    assert!(exit.stderr.contains(&message), "{exit:?}");
    stack.stop().await;
}

#[tokio::test]
async fn migrate_reports_an_unreachable_database_without_its_password() {
    let url = "mysql://diagflow:hunter2@127.0.0.1:1/diagflow";
    let exit = diagflow(&["migrate"], &[("DATABASE_URL", url)]).await;

    assert!(!exit.success, "{exit:?}");
    let message = "cannot migrate the database at 127.0.0.1:1 (DATABASE_URL)";
    assert!(exit.stderr.contains(message), "{exit:?}");
    assert!(!exit.stderr.contains("hunter2"), "{exit:?}");
}

#[tokio::test]
async fn serve_and_work_do_not_reveal_the_password_of_an_unreachable_database() {
    let url = "mysql://diagflow:hunter2@127.0.0.1:1/diagflow";
    let folder = tempfile::TempDir::new().expect("a folder");
    for role in ["serve", "work"] {
        let address = format!("127.0.0.1:{}", free_port());
        let variables = BTreeMap::from([
            ("DATABASE_URL", url.to_owned()),
            ("DATABASE_POOL_TIMEOUT_SECONDS", "0.2".to_owned()),
            ("STORAGE_URL", format!("file://{}", folder.path().display())),
            ("LISTEN_ADDRESS", address.clone()),
            ("WORKER_LISTEN_ADDRESS", address),
            ("TEMPORAL_ADDRESS", "127.0.0.1:1".to_owned()),
        ]);
        let process = Process::start(role, &variables, folder.path().join(role));
        let logged = || async {
            let log = process.log();
            let line = log.lines().find(|line| line.contains("(DATABASE_URL)"))?;
            assert!(line.contains("127.0.0.1:1"), "{line}");
            Some(())
        };
        eventually("the log to name the database", logged).await;
        assert!(!process.log().contains("hunter2"), "{}", process.log());
        process.stop().await;
    }
}

#[tokio::test]
async fn submit_exits_quietly_when_its_output_is_closed() {
    let stack = Stack::start().await;
    let (photo, server) = (retina(), stack.client.url("/"));
    let arguments = ["submit", &photo, "--email", "me@example.org", "--consent", "--server"];
    let mut command = Command::new(servers::diagflow());
    command.args(arguments).arg(server).env_clear().stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("started");

    drop(child.stdout.take());

    let output = timeout(LIMIT, child.wait_with_output()).await.expect("an exit").expect("runs");
    let exit = Exit::from(output);
    assert!(exit.success, "{exit:?}");
    assert_eq!(exit.stderr, "");
    stack.stop().await;
}

async fn has_metric(address: &str, line: &str) -> bool {
    let Ok(response) = reqwest::get(format!("http://{address}/metrics")).await else {
        return false;
    };
    response.text().await.is_ok_and(|text| text.lines().any(|it| it == line))
}

#[tokio::test]
async fn the_worker_exports_metrics_about_submissions_and_deliveries() {
    let address = format!("127.0.0.1:{}", free_port());
    let options = StackOptions::default().with("WORKER_LISTEN_ADDRESS", address.clone());
    let (stack, submission) = Stack::with_submission(options).await;
    stack.wait_for_status(&submission, "completed").await;

    for expected in [
        r#"diagflow_loopai_requests_total{call="diagnose",outcome="ok"} 1"#,
        r#"diagflow_submissions_ended_total{status="completed"} 1"#,
        r#"diagflow_submissions_ended_total{status="failed"} 0"#,
        r#"diagflow_deliveries_total{outcome="sent"} 1"#,
    ] {
        eventually(expected, || async { has_metric(&address, expected).await.then_some(()) }).await;
    }

    // The reset run finds that its e-mail has already been sent, so the metric does not increase.
    assert_eq!(history::wait_until_closed(&stack, &submission).await, "Completed");
    history::reset(&stack, &submission).await;
    assert_eq!(history::wait_until_closed(&stack, &submission).await, "Completed");
    assert!(has_metric(&address, r#"diagflow_deliveries_total{outcome="sent"} 1"#).await);
    stack.stop().await;
}

#[tokio::test]
async fn a_duplicate_execution_is_counted_and_logged() {
    let without_idempotency = loopai::Settings { honour_idempotency: false, ..fast_loopai() };
    let options = StackOptions { loopai: Some(without_idempotency), ..StackOptions::default() };
    let mut stack = Stack::api_only(options.scenario("stuck")).await;
    let temporal = Proxy::to(&servers::temporal()).await;
    stack.set("TEMPORAL_ADDRESS", temporal.address());
    stack.start_worker().await;
    let first = stack.setting("WORKER_LISTEN_ADDRESS");
    assert!(has_metric(&first, "diagflow_loopai_duplicate_executions_total 0").await);
    stack.failpoints.arm(Failpoint::AfterRequestAnswered);
    let submission = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    stack.failpoints.wait_until_reached(Failpoint::AfterRequestAnswered).await;

    // When a worker loses its connection to Temporal, another worker repeats the activity.
    temporal.cut();
    stack.set("TEMPORAL_ADDRESS", servers::temporal());
    let (second, _) = stack.start_second_worker().await;
    stack.wait_for_status(&submission, "processing").await;
    stack.failpoints.release(Failpoint::AfterRequestAnswered);

    let expected = "diagflow_loopai_duplicate_executions_total 1";
    eventually(expected, || async { has_metric(&first, expected).await.then_some(()) }).await;
    let executions = stack.loopai.executions();
    let [duplicate, followed] = &*executions else {
        panic!("expected two executions: {executions:?}")
    };
    let log = stack.worker.as_ref().expect("runs").log();
    let logged = log.lines().find(|line| line.contains("duplicate=")).expect("a warning");
    assert!(logged.contains(&format!("duplicate={}", duplicate.execution_id)), "{logged}");
    assert!(logged.contains(&format!("followed={}", followed.execution_id)), "{logged}");
    temporal.restore();
    second.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn a_worker_is_not_ready_while_temporal_is_unreachable() {
    let temporal = Proxy::to(&servers::temporal()).await;
    let address = format!("127.0.0.1:{}", free_port());
    let options = StackOptions::default()
        .with("WORKER_LISTEN_ADDRESS", address.clone())
        .with("TEMPORAL_ADDRESS", temporal.address());
    let mut stack = Stack::without_processes(options).await;
    stack.start_worker().await;
    let ready_is = async |status: StatusCode, text: &str| {
        eventually(format!("/ready to return {status}"), || async {
            let response = reqwest::get(format!("http://{address}/ready")).await.ok()?;
            (response.status() == status && response.text().await.ok()? == text).then_some(())
        })
        .await;
    };

    temporal.cut();
    ready_is(StatusCode::SERVICE_UNAVAILABLE, "temporal_unreachable").await;
    temporal.restore();
    ready_is(StatusCode::OK, "ready").await;
    stack.stop().await;
}
