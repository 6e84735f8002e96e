//! Starts a MariaDB server that has its own data directory and port and is separate from any installed server.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;

use super::SystemFolder;
use crate::install::MariaDb;
use crate::process::{self, Server, Servers};
use crate::progress::Step;
use crate::workspace::write_private_file;
use crate::{guard, interrupt};

/// Time limit for starting the server, which may include crash recovery.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// Time limit for stopping the server, which writes its buffers to disk.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// Folder for temporary tables, relative to the server's data directory. Each server needs its own because a server
/// deletes every file that is named like a temporary table when it starts.
const TMPDIR_OPTION: &str = "--tmpdir=../tmp";
/// Options for every MariaDB server, including those started by tests. No option contains a space.
pub(crate) const OPTIONS: [&str; 7] = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--default-time-zone=+00:00",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_unicode_ci",
    // A small buffer pool and a high connection limit allow many tests to run in parallel on any machine.
    "--innodb-buffer-pool-size=64M",
    "--max-connections=500",
];
/// Options for the server shared by tests. They avoid waiting for the disk, which accounts for most of the time needed
/// to create or drop a database. This is safe because the shared server is never killed.
const WITHOUT_SYNC: [&str; 3] =
    ["--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=2", "--sync-frm=0"];

/// The database accounts used for TCP connections.
pub(crate) enum Accounts<'a> {
    /// The database `diagflow` and a user with the same name.
    Product {
        /// Contains only letters and digits because it is inserted into SQL and URLs unescaped.
        password: &'a str,
    },
    /// A `root` account without a password, for tests that create their own databases.
    Tests,
}

impl Accounts<'_> {
    /// Returns one idempotent SQL statement per line.
    fn sql(&self) -> String {
        match self {
            Self::Product { password } => format!(
                "CREATE DATABASE IF NOT EXISTS diagflow;\n\
                 CREATE USER IF NOT EXISTS 'diagflow'@'127.0.0.1';\n\
                 ALTER USER 'diagflow'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
                 GRANT ALL ON diagflow.* TO 'diagflow'@'127.0.0.1';\n"
            ),
            Self::Tests => "CREATE USER IF NOT EXISTS 'root'@'127.0.0.1';\n\
                 GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
                .to_owned(),
        }
    }
}

pub(crate) fn start(
    servers: &mut Servers,
    tools: &MariaDb,
    home: &SystemFolder,
    port: u16,
    accounts: &Accounts<'_>,
) -> Result<()> {
    fs::create_dir_all(home.data("mariadb").join("tmp"))?;
    let data = make_data_directory(tools, home)?;
    let step = Step::begin("start MariaDB");
    let statements = home.data("mariadb").join("accounts.sql");
    write_private_file(&statements, &accounts.sql())?;

    let mut command = guard::command(&tools.server);
    command
        // Ignores the configuration of an installed server. This must be the first option.
        .arg("--no-defaults")
        .arg(option("--datadir=", &data))
        .arg(TMPDIR_OPTION)
        .arg(option("--init-file=", &statements))
        // The path is relative to the data directory because socket paths have a maximum length.
        .args(["--socket=mariadb.sock", "--pid-file=mariadb.pid"])
        .arg(format!("--port={port}"))
        .args(OPTIONS)
        // Restricts accounts to reading and writing files in the data directory.
        .arg(option("--secure-file-priv=", &data))
        .args(root_option());
    if matches!(accounts, Accounts::Tests) {
        command.args(WITHOUT_SYNC);
    }
    let server =
        servers.add(Server::start("database", command, home.log("mariadb"), STOP_TIMEOUT)?);
    server.await_ready(READY_TIMEOUT, || expect_greeting(port))?;
    step.done(format!("MariaDB is ready on port {port}"));
    Ok(())
}

fn make_data_directory(tools: &MariaDb, home: &SystemFolder) -> Result<PathBuf> {
    let data = home.data("mariadb").join("data");
    if data.exists() {
        return Ok(data);
    }
    let step = Step::begin("create an empty database");
    // The directory is created under a temporary name and then renamed, so an incomplete directory is never used.
    let unfinished = data.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    let mut command = guard::command(&tools.install_db);
    command
        .arg("--no-defaults")
        // `mariadb-install-db` cannot handle spaces in a path, so it gets a relative path.
        .current_dir(home.data("mariadb"))
        .args(["--datadir=./data.unfinished", TMPDIR_OPTION])
        // `root` can connect only through the socket, as the current system user. TCP connections use different
        // accounts.
        .arg("--auth-root-authentication-method=socket")
        .arg(format!("--auth-root-socket-user={}", user_name()?))
        .args(["--skip-name-resolve", "--skip-test-db"])
        .args(root_option());
    process::run_logged(command, &home.log("mariadb-install"))?;
    interrupt::check()?;
    fs::rename(&unfinished, &data).context("cannot rename the new data directory")?;
    step.done("an empty database was created");
    Ok(data)
}

/// Returns the option that MariaDB requires to run as root.
fn root_option() -> Option<&'static str> {
    Uid::effective().is_root().then_some("--user=root")
}

/// Returns the name of the current user, or `root` if the user has no name.
fn user_name() -> Result<String> {
    let user = nix::unistd::User::from_uid(Uid::effective())?;
    Ok(user.map_or_else(|| "root".to_owned(), |user| user.name))
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(name);
    text.push(path);
    text
}

/// Checks the server's first packet. Its fifth byte is the protocol version, 10, or 255 for an error.
fn expect_greeting(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    let mut start = [0; 5];
    stream.read_exact(&mut start)?;
    ensure!(start[4] == 10, "the server refuses connections");
    Ok(())
}
