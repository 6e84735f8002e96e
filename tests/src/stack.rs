//! Starts and connects the whole system for one test.

use crate::client::{AcceptedSubmission, ApiClient};
use crate::database::Database;
use crate::eventually::{LIMIT, eventually};
use crate::failpoints::Failpoints;
use crate::hung_storage::HungStorage;
use crate::photos;
use crate::ports::free_port;
use crate::process::Process;
use crate::servers;
use crate::tokens::JWT_KEY;
use diagflow_simulators::loopai::{self, LoopAiSim};
use diagflow_simulators::mail::{self, MailCatcher};
use diagflow_store::{PoolSettings, Store, SubmissionId};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions};
use uuid::Uuid;

#[derive(Default)]
pub struct StackOptions {
    /// Environment variables for the API and the worker that override or supplement the defaults.
    pub variables: BTreeMap<&'static str, String>,
    pub loopai: Option<loopai::Settings>,
    pub mail: mail::Settings,
    /// URL of a dedicated MariaDB server, without a database.
    pub mysql: Option<String>,
    /// Address of a dedicated Temporal server.
    pub temporal: Option<String>,
}

impl StackOptions {
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.insert(name, value.into());
        self
    }

    /// Sets short intervals so that the reconciler compares the database with Temporal almost immediately.
    #[must_use]
    pub fn reconcile_soon(self) -> Self {
        self.with("RECONCILE_AFTER_SECONDS", "0.5").with("RECONCILE_SWEEP_SECONDS", "0.2")
    }

    /// Sets the default scenario of the LoopAI simulator (see `simulators::loopai`).
    #[must_use]
    pub fn scenario(mut self, script: &str) -> Self {
        let settings = self.loopai.get_or_insert_with(fast_loopai);
        settings.scenario = script.parse().expect("a scenario");
        self
    }
}

/// Returns settings for a LoopAI simulator that completes each execution after 100 ms.
pub fn fast_loopai() -> loopai::Settings {
    loopai::Settings { delay_ms: 100, ..loopai::Settings::default() }
}

/// The API, worker, database, LoopAI simulator and mail server for one test.
pub struct Stack {
    pub loopai: LoopAiSim,
    pub mail: MailCatcher,
    pub store: Store,
    pub api: Option<Process>,
    pub worker: Option<Process>,
    pub client: ApiClient,
    pub database: Database,
    pub failpoints: Failpoints,
    temporal: String,
    folder: TempDir,
    variables: BTreeMap<&'static str, String>,
}

pub const AUDIT_KEY: &str = "an audit key for tests, 32 characters or more";

pub const LOCAL: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Settings shared by every stack.
const SETTINGS: [(&str, &str); 21] = [
    ("DIAGNOSIS_POLL_SECONDS", "0.2"),
    // A deadline of one hour with polls every 0.2 s would exceed Temporal's history limit.
    ("DIAGNOSIS_DEADLINE_SECONDS", "1200"),
    ("START_GRACE_SECONDS", "2"),
    ("OUTBOX_SWEEP_SECONDS", "0.2"),
    ("AUDIT_KEY", AUDIT_KEY),
    ("JWT_SECRET_KEY", JWT_KEY),
    ("EVENTS_POLL_SECONDS", "0.05"),
    // Rate limits are disabled because all requests in a test come from one client.
    ("RATE_LIMIT_SUBMIT_PER_MINUTE", "1000000"),
    ("RATE_LIMIT_SUBMIT_ATTEMPTS_PER_MINUTE", "1000000"),
    // Per-recipient limits are disabled because many submissions in a test share an e-mail address.
    ("RECIPIENT_MAX_OPEN", "0"),
    ("RECIPIENT_MAX_PER_DAY", "0"),
    ("RATE_LIMIT_READ_PER_MINUTE", "1000000"),
    ("RATE_LIMIT_SIGN_IN_PER_MINUTE", "1000000"),
    ("RATE_LIMIT_WEBHOOK_PER_MINUTE", "1000000"),
    ("RATE_LIMIT_HEALTH_PER_MINUTE", "1000000"),
    ("RATE_LIMIT_UNAUTHENTICATED_PER_MINUTE", "1000000"),
    ("RATE_LIMIT_ACCOUNT_PER_MINUTE", "1000000"),
    ("MAX_CONNECTIONS_PER_CLIENT", "1000000"),
    ("MAX_STREAMS_PER_CLIENT", "1000000"),
    ("MAX_STREAMS_PER_ACCOUNT", "1000000"),
    // Limits the memory used by the database driver (docs/settings.md).
    ("MYSQL_ASYNC_BUFFER_SIZE_CAP", "65536"),
];

impl Stack {
    pub async fn start() -> Stack {
        Self::with(StackOptions::default()).await
    }

    pub async fn with(options: StackOptions) -> Stack {
        let mut stack = Self::without_processes(options).await;
        stack.start_api().await;
        stack.start_worker().await;
        stack
    }

    pub async fn api_only(options: StackOptions) -> Stack {
        let mut stack = Self::without_processes(options).await;
        stack.start_api().await;
        stack
    }

    pub async fn with_submission(options: StackOptions) -> (Stack, AcceptedSubmission) {
        let stack = Self::with(options).await;
        let accepted = stack.client.submit("ana@example.org", "itches", &[photos::retina()]).await;
        (stack, accepted)
    }

    pub async fn without_processes(options: StackOptions) -> Stack {
        // The error is ignored because another test may already have installed a crypto provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mysql = options.mysql.unwrap_or_else(servers::mysql);
        let database = Database::migrated_on(mysql).await;
        let temporal = options.temporal.unwrap_or_else(servers::temporal);
        let folder = TempDir::new().expect("a folder");
        let settings = options.loopai.unwrap_or_else(fast_loopai);
        let loopai = LoopAiSim::start(LOCAL, settings).await.expect("LoopAI");
        let mail = MailCatcher::start(LOCAL, LOCAL, options.mail).await.expect("mail");
        let (api, worker) = (free_port(), free_port());
        let mut variables = BTreeMap::from([
            ("LISTEN_ADDRESS", format!("127.0.0.1:{api}")),
            ("WORKER_LISTEN_ADDRESS", format!("127.0.0.1:{worker}")),
            ("PUBLIC_URL", format!("http://127.0.0.1:{api}")),
            ("DATABASE_URL", database.url()),
            ("STORAGE_URL", format!("file://{}/files", folder.path().display())),
            ("TEMPORAL_ADDRESS", temporal.clone()),
            ("TEMPORAL_TASK_QUEUE", format!("test-{}", Uuid::new_v4().simple())),
            ("LOOPAI_API_URL", loopai.url()),
            ("SMTP_PORT", mail.smtp_address().port().to_string()),
        ]);
        variables.extend(SETTINGS.map(|(name, value)| (name, value.to_owned())));
        let failpoints = Failpoints::new(folder.path());
        variables.insert("DIAGFLOW_FAILPOINTS", failpoints.folder());
        variables.extend(options.variables);
        let pool = PoolSettings {
            url: database.url(),
            size: 4,
            pool_timeout: LIMIT,
            statement_timeout: Duration::from_secs(30),
        };
        Stack {
            store: Store::connect(&pool).await.expect("a connection pool"),
            client: ApiClient::new(variables["PUBLIC_URL"].clone()),
            api: None,
            worker: None,
            loopai,
            mail,
            database,
            failpoints,
            temporal,
            folder,
            variables,
        }
    }

    pub async fn start_api(&mut self) {
        self.start_api_wrapped(&[]).await;
    }

    /// Starts the API with 1 MiB of storage visible only to its own process. Returns the path at which the test can
    /// access this storage.
    pub async fn start_api_on_a_small_disk(&mut self) -> PathBuf {
        let files = self.files();
        std::fs::create_dir_all(&files).expect("a folder");
        let mount =
            format!("mount -t tmpfs -o size=1m none '{}' && exec \"$0\" \"$@\"", files.display());
        self.start_api_wrapped(&["unshare", "--mount", "--map-root-user", "sh", "-c", &mount])
            .await;
        let process = self.api.as_ref().expect("a running process").id();
        let root = PathBuf::from(format!("/proc/{process}/root"));
        root.join(files.strip_prefix("/").expect("an absolute path"))
    }

    pub async fn start_api_on_a_hung_storage(&mut self) -> HungStorage {
        let hung = HungStorage::create(&self.files(), self.folder.path());
        self.start_api_wrapped(&hung.wrapper().each_ref().map(String::as_str)).await;
        hung
    }

    /// Starts an API process that is killed by the operating system when it writes a file larger than `bytes`.
    pub async fn start_api_with_file_size_limit(&mut self, bytes: u64) {
        let limit = format!("--fsize={bytes}");
        self.start_api_wrapped(&["prlimit", &limit, "--core=0", "--"]).await;
    }

    pub async fn start_api_with_descriptor_limit(&mut self, descriptors: u32) {
        let limit = format!("--nofile={descriptors}");
        self.start_api_wrapped(&["prlimit", &limit, "--"]).await;
    }

    async fn start_api_wrapped(&mut self, wrapper: &[&str]) {
        let log = self.folder.path().join("api.log");
        let process = Process::start_wrapped(wrapper, "serve", &self.variables, log);
        let api = self.api.insert(process);
        api.wait_until_ready(&self.variables["LISTEN_ADDRESS"]).await;
    }

    pub async fn start_worker(&mut self) {
        let address = self.setting("WORKER_LISTEN_ADDRESS");
        self.spawn_worker().wait_until_ready(&address).await;
    }

    /// Starts a worker without waiting until it is ready.
    pub fn spawn_worker(&mut self) -> &mut Process {
        let log = self.folder.path().join("worker.log");
        self.worker.insert(Process::start("work", &self.variables, log))
    }

    pub async fn start_replica(&self) -> (Process, ApiClient) {
        let client = ApiClient::new(format!("http://127.0.0.1:{}", free_port()));
        (self.start_replica_at(&client).await, client)
    }

    pub async fn start_replica_at(&self, client: &ApiClient) -> Process {
        let address = client.url("").replace("http://", "");
        self.start_second("serve", "LISTEN_ADDRESS", &address, "replica.log").await
    }

    /// Starts another worker and returns its process and address.
    pub async fn start_second_worker(&self) -> (Process, String) {
        let address = format!("127.0.0.1:{}", free_port());
        (self.start_second_worker_at(&address).await, address)
    }

    pub async fn start_second_worker_at(&self, address: &str) -> Process {
        self.start_second("work", "WORKER_LISTEN_ADDRESS", address, "second-worker.log").await
    }

    async fn start_second(
        &self,
        role: &'static str,
        setting: &'static str,
        address: &str,
        log: &str,
    ) -> Process {
        let mut variables = self.variables.clone();
        variables.insert(setting, address.to_owned());
        let mut process = Process::start(role, &variables, self.folder.path().join(log));
        process.wait_until_ready(address).await;
        process
    }

    pub async fn wait_for_status(&self, submission: &AcceptedSubmission, status: &str) -> Value {
        eventually(format!("{} to be {status}", submission.submission_id), || async {
            let document = self.client.status(submission).await.ok()?;
            (document["status"] == status).then_some(document)
        })
        .await
    }

    pub async fn wait_for_polls(&self, times: u32) -> String {
        let polled = |all: &[loopai::ExecutionRecord]| {
            let execution = all.first().filter(|execution| execution.polls >= times)?;
            Some(execution.execution_id.clone())
        };
        self.loopai.wait_for(polled, LIMIT).await.expect("a poll")
    }

    pub async fn temporal(&self) -> Client {
        let target: url::Url = format!("http://{}", self.temporal).parse().expect("an address");
        let connection =
            Connection::connect(ConnectionOptions::new(target).build()).await.expect("Temporal");
        Client::new(connection, ClientOptions::new("default").build()).expect("an HTTP client")
    }

    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.insert(name, value.into());
    }

    pub fn unset(&mut self, name: &str) {
        self.variables.remove(name);
    }

    pub fn setting(&self, name: &str) -> String {
        self.variables[name].clone()
    }

    pub fn assert_alive(&mut self) {
        for process in [&mut self.api, &mut self.worker].into_iter().flatten() {
            process.assert_alive();
        }
    }

    /// Runs `diagflow audit verify` without a checkpoint, and returns its output if it finds a fault.
    pub async fn audit_verify_error(&self) -> Option<String> {
        let done = tokio::process::Command::new(servers::diagflow())
            .args(["audit", "verify"])
            .env_clear()
            .envs(&self.variables)
            .output()
            .await
            .expect("the command runs");
        let output = [done.stdout, done.stderr].concat();
        const END_NOT_PROVED: i32 = 2;
        (done.status.code() != Some(END_NOT_PROVED))
            .then(|| String::from_utf8_lossy(&output).into_owned())
    }

    /// Runs a `diagflow` command with the stack's settings.
    pub async fn run_command(&self, arguments: &[&str]) -> std::process::Output {
        self.command(arguments).output().await.expect("the command runs")
    }

    /// Returns a `diagflow` command that has not been started yet.
    pub fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(servers::diagflow());
        command.args(arguments).env_clear().envs(&self.variables);
        command
    }

    /// Stops all processes gracefully and removes the database.
    pub async fn stop(mut self) {
        if let Some(api) = self.api.take() {
            api.stop().await;
        }
        if let Some(worker) = self.worker.take() {
            worker.stop().await;
        }
        self.loopai.shutdown().await;
        self.mail.shutdown().await;
        drop(self.store);
        self.database.remove().await;
    }
}

pub fn id_of(submission: &AcceptedSubmission) -> SubmissionId {
    submission.submission_id.parse().expect("an id")
}
