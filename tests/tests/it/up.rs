//! Tests of `cargo xtask up` as a new user runs it. All services start and work, they stop in the correct order, and
//! their data survives a restart.

use diagflow_tests::ports::free_port;
use diagflow_tests::staff::PASSWORD;
use diagflow_tests::{AcceptedSubmission, ApiClient, Staff, eventually, photos, servers};
use diagflow_workflows::SubmissionRef;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A running `cargo xtask up`.
struct Up {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    /// Lines that the command has printed so far.
    lines: Vec<String>,
    /// Addresses that the command has printed, by service name.
    addresses: BTreeMap<String, String>,
}

const PORTS: [&str; 8] = [
    "--api-port",
    "--worker-port",
    "--temporal-port",
    "--temporal-ui-port",
    "--inbox-port",
    "--smtp-port",
    "--simulator-port",
    "--mariadb-port",
];

impl Up {
    /// Starts the command with its data in `folder` and waits until all services are running.
    async fn start(folder: &Path) -> Up {
        let ports: Vec<_> =
            PORTS.iter().flat_map(|flag| [(*flag).to_owned(), free_port().to_string()]).collect();
        let mut child = Command::new(servers::xtask())
            .arg("up")
            .args(ports)
            .arg("--data")
            .arg(folder)
            .arg("--product")
            .arg(servers::diagflow())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        let output = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut up = Up { child, output, lines: Vec::new(), addresses: BTreeMap::new() };
        up.read_until("Diagflow is up").await;
        let from_line = up.lines.len();
        up.read_until("Ctrl-C stops everything").await;
        // At least two spaces separate the name of a service from its address.
        let rows = up.lines[from_line..].iter().filter_map(|line| line.trim().split_once("  "));
        up.addresses = rows.map(|(name, at)| (name.to_owned(), at.trim().to_owned())).collect();
        up
    }

    async fn read_until(&mut self, text: &str) {
        while let Some(line) = self.output.next_line().await.expect("readable") {
            let found = line.contains(text);
            self.lines.push(line);
            if found {
                return;
            }
        }
        panic!("`up` exited before it printed {text:?}:\n{}", self.lines.join("\n"));
    }

    fn api(&self) -> ApiClient {
        ApiClient::new(self.addresses["Start page"].clone())
    }

    /// Sends SIGINT, as Ctrl-C does. Returns the lines that the command prints afterwards.
    async fn interrupt(mut self) -> Vec<String> {
        let id = self.child.id().expect("runs");
        kill(Pid::from_raw(i32::try_from(id).expect("an id")), Signal::SIGINT).expect("a signal");
        let from_line = self.lines.len();
        self.read_until("Everything stopped").await;
        assert!(self.child.wait().await.expect("an exit").success());
        self.lines.split_off(from_line)
    }
}

/// Runs `diagflow` with the database of `cargo xtask up` and the given standard input. Returns its output.
async fn diagflow(up: &Up, data: &Path, arguments: &[&str], input: &str) -> String {
    let password = std::fs::read_to_string(data.join("mariadb-password")).expect("a password");
    let address = up.addresses["MariaDB"].split(',').next().expect("an address");
    let mut child = Command::new(servers::diagflow())
        .args(arguments)
        .env("DATABASE_URL", format!("mysql://diagflow:{}@{address}/diagflow", password.trim()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdin = child.stdin.take().expect("a standard input");
    stdin.write_all(input.as_bytes()).await.expect("an open pipe");
    drop(stdin);
    let output = child.wait_with_output().await.expect("an exit");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

async fn get(address: &str) -> String {
    let response = reqwest::get(address).await.expect("a response");
    assert!(response.status().is_success(), "{address}: {}", response.status());
    response.text().await.expect("text")
}

/// Returns the address of the submission's workflow in the Temporal UI.
fn history_address(up: &Up, submission: &AcceptedSubmission) -> String {
    let id = SubmissionRef::new(&submission.submission_id).workflow_id();
    format!("{}/api/v1/namespaces/default/workflows/{id}", up.addresses["Temporal UI"])
}

#[tokio::test]
async fn up_starts_all_services_stops_them_in_order_and_keeps_their_data() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("a system");
    let up = Up::start(&data).await;
    let api = up.api();
    for page in [
        "Start page",
        "Staff console",
        "API reference",
        "Inbox",
        "Temporal UI",
        "LoopAI simulator",
        "Worker",
    ] {
        get(&up.addresses[page]).await;
    }

    let submission = api.submit("ana@example.org", "itches", &[photos::retina()]).await;
    eventually("the result", || async {
        let status = api.status(&submission).await.ok()?;
        (status["status"] == "completed").then_some(())
    })
    .await;
    let inbox = up.addresses["Inbox"].clone();
    eventually("the e-mail", || async {
        get(&inbox).await.contains("Your diagnosis result").then_some(())
    })
    .await;

    let stopped = up.interrupt().await.join("\n");
    let places: Vec<_> = ["API", "worker", "simulator", "mail catcher", "Temporal", "database"]
        .iter()
        .map(|part| {
            stopped.find(&format!("{part} ")).unwrap_or_else(|| panic!("{part}: {stopped}"))
        })
        .collect();
    assert!(
        places.is_sorted(),
        "the services did not stop in the order from intake to storage: {stopped}"
    );

    let up = Up::start(&data).await;
    let status = up.api().status(&submission).await.expect("a response");
    assert_eq!(status["status"], "completed", "{status}");
    assert!(get(&up.addresses["Inbox"]).await.contains("Your diagnosis result"));
    // The Temporal UI starts responding shortly before its data is available.
    let history = eventually("the workflow in the Temporal UI", || async {
        let response = reqwest::get(history_address(&up, &submission)).await.ok()?;
        response.error_for_status().ok()?.text().await.ok()
    })
    .await;
    assert!(history.contains("WORKFLOW_EXECUTION_STATUS_COMPLETED"), "{history}");
    up.interrupt().await;
}

#[tokio::test]
async fn staff_find_a_failed_submission_retry_it_and_read_the_audit_log() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("a system");
    let up = Up::start(&data).await;
    let email = "root@example.org";
    let create = ["user", "create", "--email", email, "--name", "Root", "--role", "admin"];
    let create = [&create[..], &["--password-stdin"]].concat();
    let made = diagflow(&up, &data, &create, &format!("{PASSWORD}\n")).await;
    let account = made.trim().rsplit(' ').next().and_then(|id| id.parse().ok()).expect("an id");
    let photos = [photos::retina()];
    let submission = up.api().submit("ana@example.org", "[sim: fail*1]", &photos).await;
    let id = &submission.submission_id;
    let root = Staff::sign_in(&up.api(), account, email.to_owned()).await;
    let read = async |path: &str| -> Value {
        let response = root.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.expect("JSON")
    };

    eventually("the failed submission in the list", || async {
        let list = read("/api/admin/submissions?status=failed").await;
        (list["data"][0]["id"] == id.as_str()).then_some(())
    })
    .await;
    let path = format!("/api/admin/submissions/{id}");
    // The status in the database changes shortly before the failure appears in the workflow's history.
    eventually("the failure in the history", || async {
        let history = read(&format!("{path}/history")).await;
        history.to_string().contains("loopai_failed").then_some(())
    })
    .await;
    let reason_body = json!({"reason": "LoopAI was down at noon"});
    assert_eq!(root.post(&format!("{path}/retry"), &reason_body).await.status(), 202);
    eventually("the new run to complete", || async {
        let status = up.api().status(&submission).await.ok()?;
        (status["status"] == "completed").then_some(())
    })
    .await;
    assert_eq!(read(&path).await["data"]["status"], "completed");

    let entries = root.audit(&format!("object_id={id}")).await;
    let mut actions: Vec<_> = entries.iter().rev().map(|line| line["action"].as_str()).collect();
    actions.dedup();
    assert_eq!(actions, ["history_view", "submission_retry", "submission_view"].map(Some));
    assert_eq!(entries[1]["details"]["reason"], reason_body["reason"]);
    assert!(entries.iter().all(|line| line["actor"] == email), "{entries:?}");
    // Verification succeeds on the empty audit log of a new database.
    let checkpoint = format!("0:{}", "0".repeat(64));
    let verify = ["audit", "verify", "--checkpoint", &checkpoint];
    let verified = diagflow(&up, &data, &verify, "").await;
    assert!(verified.contains("no entry was changed, removed or inserted"), "{verified}");
    up.interrupt().await;
}
