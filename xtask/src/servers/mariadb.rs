//! A MariaDB of our own: own data directory, own port, no part of it shared with one of the system.

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

/// Recovery after a crash may take a while.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// Writing out what is in memory may take a while.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// Seen from the data directory, where the server runs. A folder of its own, because a server that starts removes
/// from it whatever looks like a temporary table, those of a running one included.
const TMPDIR_OPTION: &str = "--tmpdir=../tmp";
/// What every server has alike, those that tests start for themselves too. None has a blank in it.
pub(crate) const OPTIONS: [&str; 7] = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--default-time-zone=+00:00",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_unicode_ci",
    // Small enough for any machine, with connections for many tests at once.
    "--innodb-buffer-pool-size=64M",
    "--max-connections=500",
];

/// Who may use the server over the network, that is from this machine.
pub(crate) enum Accounts<'a> {
    /// One database, `diagflow`, and a user of the same name with this password.
    Product {
        /// Letters and digits only: it is written into SQL and addresses as it is.
        password: &'a str,
    },
    /// `root` without a password, for tests that make their own databases on a server that is soon gone.
    Tests,
}

impl Accounts<'_> {
    /// SQL that brings the accounts about, whatever the data directory holds already; one statement a line.
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

/// Starts the server and waits until it takes connections.
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
        // First, as MariaDB demands: the settings of the machine's own server are not ours.
        .arg("--no-defaults")
        .arg(option("--datadir=", &data))
        .arg(TMPDIR_OPTION)
        .arg(option("--init-file=", &statements))
        // Below the data directory, where the server runs: a whole path may be longer than a socket's can be.
        .args(["--socket=mariadb.sock", "--pid-file=mariadb.pid"])
        .arg(format!("--port={port}"))
        .args(OPTIONS)
        // No account may make the server read or write files elsewhere.
        .arg(option("--secure-file-priv=", &data))
        .args(root_option());
    let server =
        servers.add(Server::start("database", command, home.log("mariadb"), STOP_TIMEOUT)?);
    server.await_ready(READY_TIMEOUT, || expect_greeting(port))?;
    step.done(format!("MariaDB takes connections on port {port}"));
    Ok(())
}

fn make_data_directory(tools: &MariaDb, home: &SystemFolder) -> Result<PathBuf> {
    let data = home.data("mariadb").join("data");
    if data.exists() {
        return Ok(data);
    }
    let step = Step::begin("make an empty database");
    // Made aside and renamed, so that one whose making was interrupted is never taken for a whole one.
    let unfinished = data.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    let mut command = guard::command(&tools.install_db);
    command
        .arg("--no-defaults")
        // The script cannot deal with blanks in a path, so it gets one from where it runs.
        .current_dir(home.data("mariadb"))
        .args(["--datadir=./data.unfinished", TMPDIR_OPTION])
        // `root` by the socket and only as this user: over the network there are the accounts above alone.
        .arg("--auth-root-authentication-method=socket")
        .arg(format!("--auth-root-socket-user={}", user_name()?))
        .args(["--skip-name-resolve", "--skip-test-db"])
        .args(root_option());
    process::run_logged(command, &home.log("mariadb-install"))?;
    interrupt::check()?;
    fs::rename(&unfinished, &data).context("cannot put the new database in its place")?;
    step.done("an empty database was made");
    Ok(data)
}

/// As root, MariaDB wants to be told that this is meant.
fn root_option() -> Option<&'static str> {
    Uid::effective().is_root().then_some("--user=root")
}

/// This user's name; `root`, as good as nobody, where it has none.
fn user_name() -> Result<String> {
    let user = nix::unistd::User::from_uid(Uid::effective())?;
    Ok(user.map_or_else(|| "root".to_owned(), |user| user.name))
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(name);
    text.push(path);
    text
}

/// A MySQL server speaks first: a packet whose fifth byte is the protocol's version, 10, or 255 for an error.
fn expect_greeting(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    let mut start = [0; 5];
    stream.read_exact(&mut start)?;
    ensure!(start[4] == 10, "the server refuses connections");
    Ok(())
}
