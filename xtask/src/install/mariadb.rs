//! Finds an installed MariaDB, or unpacks it from the distribution's packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::apt::Apt;
use super::{create_atomically, find_program, is_executable, with_install_hint, wrapper};
use crate::progress::Step;
use crate::workspace::Workspace;

/// Folders that may contain servers but are not on an ordinary user's PATH.
const SERVER_FOLDERS: [&str; 4] =
    ["/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/mysql/bin"];
const MIN_VERSION: (u32, u32) = (10, 6);

/// The client programs for backup and restore.
const CLIENTS: [&str; 3] = ["mariadb", "mariadb-dump", "mariadb-binlog"];

pub(crate) struct MariaDb {
    pub(crate) server: PathBuf,
    /// The program that creates an empty data directory.
    pub(crate) install_db: PathBuf,
    /// The folder of the programs in [`CLIENTS`].
    pub(crate) clients: PathBuf,
}

/// Returns the installed MariaDB or the one in `.diagflow/tools/`, which is downloaded if it is missing.
pub(super) fn find_or_install(workspace: &Workspace) -> Result<MariaDb> {
    let step = Step::begin("MariaDB");
    if let Some((found, version)) = find_on_machine() {
        step.done(format!("MariaDB {version} found: {}", found.server.display()));
        return Ok(found);
    }
    let home = workspace.tools().join("mariadb");
    if !CLIENTS.iter().all(|name| is_executable(&home.join("bin").join(name))) {
        // MariaDB is missing, or was unpacked by an older version of this program without some of the tools.
        install(workspace, &home)
            .map_err(|error| with_install_hint(error, "mariadb-server-core mariadb-client"))?;
    }
    let unpacked = in_folder(&home);
    let version = version(&unpacked.server).with_context(|| {
        format!(
            "MariaDB in {} cannot be run; delete this folder, and MariaDB will be downloaded again",
            home.display()
        )
    })?;
    step.done(format!("MariaDB {version} unpacked in {}", workspace.relative(&home)));
    Ok(unpacked)
}

fn find_on_machine() -> Option<(MariaDb, String)> {
    // `mysqld` is either MySQL's server or MariaDB's under its former name. The version string distinguishes them.
    let server =
        ["mariadbd", "mysqld"].iter().find_map(|name| find_program(name, &SERVER_FOLDERS))?;
    let install_db = ["mariadb-install-db", "mysql_install_db"]
        .iter()
        .find_map(|name| find_program(name, &[]))?;
    let clients = find_program(CLIENTS[0], &[])?.parent()?.to_path_buf();
    let whole = CLIENTS.iter().all(|name| is_executable(&clients.join(name)));
    let version = version(&server).filter(|_| whole)?;
    Some((MariaDb { server, install_db, clients }, version))
}

/// Returns the server's version if it is a supported MariaDB.
fn version(server: &Path) -> Option<String> {
    let output = Command::new(server).args(["--no-defaults", "--version"]).output().ok()?;
    supported_version(&String::from_utf8_lossy(&output.stdout))
}

// `text` has the form `mariadbd  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)`.
fn supported_version(text: &str) -> Option<String> {
    let word = text.split_ascii_whitespace().skip_while(|word| *word != "Ver").nth(1)?;
    let (number, _) = word.split_once("-MariaDB")?;
    let mut parts = number.split('.').map(|part| part.parse::<u32>().ok());
    let (major, minor) = (parts.next()??, parts.next()??);
    ((major, minor) >= MIN_VERSION).then(|| number.to_owned())
}

fn in_folder(home: &Path) -> MariaDb {
    let bin = home.join("bin");
    MariaDb {
        server: bin.join("mariadbd"),
        install_db: bin.join("mariadb-install-db"),
        clients: bin,
    }
}

fn install(workspace: &Workspace, home: &Path) -> Result<()> {
    let apt = Apt::prepare(workspace)?;
    // `mariadb-install-db` needs `my_print_defaults`, which is part of the client package.
    let packages = [apt.resolve("mariadb-server-core")?, apt.resolve("mariadb-client")?];
    create_atomically(home, |folder| {
        apt.unpack(&packages, folder)?;
        write_wrappers(folder)
    })
}

/// The script starts the server with `exec`, which preserves the process id so that signals reach the server.
const RUN_SERVER: &str = r#"exec "$home/usr/sbin/mariadbd" "$@" "--basedir=$home/usr"
"#;
/// `mariadb-install-db` cannot handle spaces in its own path, so it runs through a symbolic link.
const RUN_INSTALL_DB: &str = r#"link=$(mktemp -d) || exit 1
trap 'rm -rf "$link"' EXIT
ln -s "$home/usr" "$link/usr"
"$link/usr/bin/mariadb-install-db" "$@" "--basedir=$link/usr"
"#;

/// Writes the wrapper scripts for the unpacked programs.
fn write_wrappers(home: &Path) -> Result<()> {
    wrapper::write(home, "usr/sbin/mariadbd", "mariadbd", RUN_SERVER)?;
    wrapper::write(home, "usr/bin/mariadb-install-db", "mariadb-install-db", RUN_INSTALL_DB)?;
    for name in CLIENTS {
        wrapper::write_exec(home, &format!("usr/bin/{name}"), name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::create_private_dir;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_recent_mariadb_versions_are_accepted() {
        let version = |text| supported_version(text);
        let debian =
            "mariadbd  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)";
        assert_eq!(version(debian).as_deref(), Some("10.11.6"));
        let plain = "/opt/bin/mariadbd  Ver 11.4.2-MariaDB for Linux on x86_64 (MariaDB Server)";
        assert_eq!(version(plain).as_deref(), Some("11.4.2"));
        assert_eq!(
            version("mysqld  Ver 10.5.29-MariaDB-0+deb11u1 for debian-linux-gnu on x86_64"),
            None
        );
        assert_eq!(
            version("/usr/sbin/mysqld  Ver 8.0.36-0ubuntu0.22.04.1 for Linux on x86_64"),
            None
        );
    }

    #[test]
    fn the_wrapper_scripts_run_the_unpacked_programs() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let home = folder.path().join("a folder");
        for part in ["usr/sbin", "usr/bin", "usr/lib/x86_64-linux-gnu"] {
            create_private_dir(&home.join(part))?;
        }
        symlink("/bin/echo", home.join("usr/sbin/mariadbd"))?;
        for name in ["mariadb-install-db"].iter().chain(&CLIENTS) {
            symlink("/bin/echo", home.join("usr/bin").join(name))?;
        }

        write_wrappers(&home)?;

        let run = |program: PathBuf| -> Result<String> {
            // The script is run through a shell. Executing a newly written file directly fails with ETXTBSY while
            // another test is starting a process that has inherited the open file.
            let mut shell = Command::new("/bin/sh");
            let output = shell.arg(program).args(["--no-defaults", "a b"]).output()?;
            Ok(String::from_utf8(output.stdout)?)
        };
        let programs = in_folder(&home);
        assert_eq!(run(programs.clients.join("mariadb-dump"))?, "--no-defaults a b\n");
        assert_eq!(
            run(programs.server)?,
            format!("--no-defaults a b --basedir={}/usr\n", home.display())
        );
        let install_db = run(programs.install_db)?;
        let basedir = install_db.trim().strip_prefix("--no-defaults a b --basedir=").unwrap_or(" ");
        assert!(!basedir.contains(' '), "{install_db}");
        assert!(!Path::new(basedir).exists(), "the symbolic link is deleted afterwards");
        Ok(())
    }
}
