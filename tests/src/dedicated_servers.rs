//! MariaDB and Temporal servers that a test may kill. A restarted server reuses its port.

use crate::eventually::{LIMIT, eventually};
use crate::ports::free_port;
use crate::servers;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use std::fs::File;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A server process that is killed on drop.
struct Server {
    child: Option<Child>,
    log: PathBuf,
}

impl Server {
    fn start(&mut self, mut command: Command) {
        let log = File::options().create(true).append(true).open(&self.log).expect("a log file");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        // The server gets its own process group so that Ctrl-C in the terminal does not stop it.
        self.child = Some(command.process_group(0).spawn().expect("a started process"));
    }

    fn kill(&mut self) {
        let mut child = self.child.take().expect("a running process");
        child.kill().expect("a killed process");
        child.wait().expect("the process ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

pub struct DedicatedMariaDb {
    server: Server,
    port: u16,
    folder: TempDir,
    extra_options: &'static [&'static str],
}

impl DedicatedMariaDb {
    pub async fn start() -> DedicatedMariaDb {
        Self::start_with(&[]).await
    }

    /// Starts a server with binary logging enabled, for point-in-time recovery.
    pub async fn with_binary_log() -> DedicatedMariaDb {
        Self::start_with(&["--log-bin=binlog"]).await
    }

    async fn start_with(extra_options: &'static [&'static str]) -> DedicatedMariaDb {
        let folder = TempDir::new().expect("a folder");
        std::fs::create_dir(folder.path().join("tmp")).expect("a folder");
        let log = folder.path().join("mariadb.log");
        let server = Server { child: None, log };
        let mut database = DedicatedMariaDb { server, port: free_port(), folder, extra_options };
        database.initialise().await;
        database
    }

    /// Restarts the server with an empty data directory, as if its disk had been lost.
    pub async fn replace_disk(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.folder.path().join("data")).expect("a removed folder");
        self.initialise().await;
    }

    async fn initialise(&mut self) {
        let output = tokio::process::Command::new(servers::mariadb_install_db())
            .args(["--no-defaults", "--datadir=./data", "--tmpdir=../tmp", "--skip-test-db"])
            .args(["--auth-root-authentication-method=normal", "--skip-name-resolve"])
            .args(as_root())
            .current_dir(self.folder.path())
            .output()
            .await
            .expect("the command runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        self.restart().await;
        self.as_root(
            "CREATE USER 'diagflow'@'127.0.0.1'; \
             GRANT ALL ON `test\\_%`.* TO 'diagflow'@'127.0.0.1'",
        )
        .await;
    }

    /// Starts a replica of this server that receives all writes from now on. This server must have binary logging
    /// enabled.
    pub async fn start_replica(&self) -> DedicatedMariaDb {
        const ACCOUNT: &str = "replica";
        self.as_root(&format!(
            "CREATE USER {ACCOUNT}@'127.0.0.1'; GRANT REPLICATION SLAVE ON *.* TO {ACCOUNT}@'127.0.0.1'"
        ))
        .await;
        let replica = Self::with_binary_log().await;
        let position = self.text("SELECT CAST(@@gtid_binlog_pos AS CHAR)").await;
        replica
            .as_root(&format!(
                "SET GLOBAL server_id = 2; RESET MASTER; SET GLOBAL gtid_slave_pos = '{position}'; \
                 CHANGE MASTER TO master_host = '127.0.0.1', master_port = {}, \
                     master_user = '{ACCOUNT}', master_use_gtid = slave_pos; \
                 SET GLOBAL read_only = 1; START SLAVE",
                self.port
            ))
            .await;
        replica
    }

    /// Makes this server read-only and promotes the replica once it has caught up.
    pub async fn fail_over_to(&self, replica: &DedicatedMariaDb) {
        self.as_root("SET GLOBAL read_only = 1").await;
        let position = self.text("SELECT CAST(@@gtid_binlog_pos AS CHAR)").await;
        let wait =
            format!("SELECT CAST(MASTER_GTID_WAIT('{position}', {}) AS SIGNED)", LIMIT.as_secs());
        assert_eq!(replica.number(&wait).await, 0, "the replica has received {position}");
        replica.as_root("STOP SLAVE; SET GLOBAL read_only = 0").await;
    }

    /// Returns the host and port of the server.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn client_options(&self) -> [String; 3] {
        let port = format!("--port={}", self.port);
        ["--host=127.0.0.1".to_owned(), port, "--user=root".to_owned()]
    }

    /// Returns the server's URL without a database. Its user has privileges only on test databases.
    pub fn url(&self) -> String {
        format!("mysql://diagflow@127.0.0.1:{}", self.port)
    }

    pub async fn as_root(&self, statement: &str) {
        let mut connection =
            AsyncMysqlConnection::establish(&self.root()).await.expect("a connection");
        connection.batch_execute(statement).await.expect(statement);
    }

    pub async fn number(&self, query: &str) -> i64 {
        let mut connection =
            AsyncMysqlConnection::establish(&self.root()).await.expect("a connection");
        diesel::dsl::sql::<BigInt>(query).get_result(&mut connection).await.expect(query)
    }

    async fn text(&self, query: &str) -> String {
        let mut connection =
            AsyncMysqlConnection::establish(&self.root()).await.expect("a connection");
        diesel::dsl::sql::<Text>(query).get_result(&mut connection).await.expect(query)
    }

    fn root(&self) -> String {
        format!("mysql://root@127.0.0.1:{}/mysql", self.port)
    }

    pub fn kill(&mut self) {
        self.server.kill();
    }

    pub async fn restart(&mut self) {
        let mut command = Command::new(servers::mariadbd());
        command
            .arg("--no-defaults")
            .arg(path_option("--datadir=", &self.folder.path().join("data")))
            .args(["--tmpdir=../tmp", "--socket=mariadb.sock", "--pid-file=mariadb.pid"])
            .arg(format!("--port={}", self.port))
            .args(servers::mariadb_options())
            .args(self.extra_options)
            .args(as_root());
        self.server.start(command);
        let url = self.root();
        eventually("MariaDB to accept connections", || async {
            AsyncMysqlConnection::establish(&url).await.ok()
        })
        .await;
    }
}

pub struct DedicatedTemporal {
    server: Server,
    port: u16,
    folder: TempDir,
    /// Entries of Temporal's dynamic configuration, in the form `KEY=JSON`.
    dynamic_config: &'static [&'static str],
}

impl DedicatedTemporal {
    pub async fn start() -> DedicatedTemporal {
        Self::start_with(&[]).await
    }

    /// Starts a server that reports a problem after two failed attempts at a workflow task, which takes about 10 s. The
    /// default is five attempts, which take almost a minute.
    pub async fn with_prompt_reports() -> DedicatedTemporal {
        Self::start_with(&["system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=2"])
            .await
    }

    async fn start_with(dynamic_config: &'static [&'static str]) -> DedicatedTemporal {
        let folder = TempDir::new().expect("a folder");
        let log = folder.path().join("temporal.log");
        let server = Server { child: None, log };
        let mut temporal = DedicatedTemporal { server, port: free_port(), folder, dynamic_config };
        temporal.restart().await;
        temporal
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Copies the server's data. The server must be stopped.
    pub fn copy_to(&self, folder: &Path) {
        copy_files(self.folder.path(), folder);
    }

    /// Restores the server's data from a copy. The server must be stopped.
    pub fn restore_from(&self, copy: &Path) {
        for entry in std::fs::read_dir(self.folder.path()).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path != self.server.log {
                std::fs::remove_file(path).expect("a removed file");
            }
        }
        copy_files(copy, self.folder.path());
    }

    pub async fn restart(&mut self) {
        let mut command = Command::new(servers::temporal_command());
        command
            .args(["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "warn"])
            .arg("--port")
            .arg(self.port.to_string())
            .arg("--db-filename")
            .arg(self.folder.path().join("temporal.db"));
        for entry in self.dynamic_config {
            command.args(["--dynamic-config-value", entry]);
        }
        self.server.start(command);
        let address = self.address();
        eventually("Temporal to listen", || async { TcpStream::connect(&address).ok() }).await;
    }
}

/// Copies the database file along with its journal.
fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_name().to_string_lossy().starts_with("temporal.db") {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copied file");
        }
    }
}

/// Returns the option that MariaDB requires to run as root.
fn as_root() -> Option<&'static str> {
    nix::unistd::Uid::effective().is_root().then_some("--user=root")
}

fn path_option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(name);
    text.push(path);
    text
}
