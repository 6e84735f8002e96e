//! Starts the Diagflow processes and the simulators with settings for this machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::SystemFolder;
use crate::ports::Ports;
use crate::process::{self, Server, Servers};
use crate::progress::Step;
use crate::workspace::file_url;
use crate::{guard, http};

/// The address with which staff sign in on this machine.
pub(crate) const STAFF_EMAIL: &str = "staff@example.org";
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Time to wait for a process to stop before killing it. A worker may need 45 s to finish its activities
/// (`WORKER_SHUTDOWN_TIMEOUT_SECONDS`).
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// The `diagflow` binary and the settings for all its processes.
pub(crate) struct Diagflow<'a> {
    binary: PathBuf,
    home: &'a SystemFolder,
    ports: Ports,
    settings: Vec<(&'static str, String)>,
}

impl<'a> Diagflow<'a> {
    pub(crate) fn new(
        binary: PathBuf,
        home: &'a SystemFolder,
        ports: Ports,
        database_password: &str,
    ) -> Result<Self> {
        let mut settings = fixed_settings(home, ports, database_password)?;
        settings.extend(default_settings(ports, |name| std::env::var_os(name).is_some()));
        Ok(Self { binary, home, ports, settings })
    }

    pub(crate) fn migrate(&self) -> Result<()> {
        let step = Step::begin("migrate the database");
        process::run_logged(self.command("migrate"), &self.home.log("migrate"))?;
        step.done("the database is migrated");
        Ok(())
    }

    /// Creates an administrator, unless an earlier run has already done so. The file contains the password.
    pub(crate) fn create_staff_account(&self, password: &Path) -> Result<()> {
        let accounts = self.command("user").arg("list").output().context("cannot list accounts")?;
        if String::from_utf8_lossy(&accounts.stdout).contains(STAFF_EMAIL) {
            return Ok(());
        }
        let step = Step::begin("create a staff account");
        let mut command = self.command("user");
        command.args(["create", "--email", STAFF_EMAIL, "--name", "Staff", "--role", "admin"]);
        command.arg("--password-stdin").stdin(File::open(password)?);
        process::run_logged(command, &self.home.log("account"))?;
        step.done("a staff account was created");
        Ok(())
    }

    pub(crate) fn start_simulator(&self, servers: &mut Servers) -> Result<()> {
        let mut command = self.command("loopai-sim");
        command.args(["--listen", &local(self.ports.simulator)]);
        self.start(
            servers,
            "LoopAI simulator",
            "simulator",
            command,
            self.ports.simulator,
            "/health",
        )
    }

    pub(crate) fn start_mail_catcher(&self, servers: &mut Servers) -> Result<()> {
        let mut command = self.command("mail-catcher");
        command.args(["--smtp", &local(self.ports.smtp), "--http", &local(self.ports.inbox)]);
        command.arg("--spool").arg(self.home.data("mail"));
        self.start(servers, "mail catcher", "mail-catcher", command, self.ports.inbox, "/health")
    }

    pub(crate) fn start_worker(&self, servers: &mut Servers) -> Result<()> {
        self.start(servers, "worker", "worker", self.command("work"), self.ports.worker, "/ready")
    }

    pub(crate) fn start_api(&self, servers: &mut Servers) -> Result<()> {
        self.start(servers, "API", "api", self.command("serve"), self.ports.api, "/ready")
    }

    fn start(
        &self,
        servers: &mut Servers,
        name: &'static str,
        log: &str,
        command: Command,
        port: u16,
        probe: &str,
    ) -> Result<()> {
        let step = Step::begin(format!("start the {name}"));
        let server = servers.add(Server::start(name, command, self.home.log(log), STOP_TIMEOUT)?);
        server.await_ready(READY_TIMEOUT, || http::expect_success(port, probe))?;
        step.done(format!("the {name} is ready on port {port}"));
        Ok(())
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = guard::command(&self.binary);
        command.arg(subcommand).envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Returns the settings that connect the processes to this system's servers.
fn fixed_settings(
    home: &SystemFolder,
    ports: Ports,
    database_password: &str,
) -> Result<Vec<(&'static str, String)>> {
    let storage = file_url(&home.data("storage")).context("the storage folder has no URL")?;
    Ok(vec![
        ("DIAGFLOW_ENV", "development".to_owned()),
        (
            "DATABASE_URL",
            format!("mysql://diagflow:{database_password}@{}/diagflow", local(ports.mariadb)),
        ),
        ("TEMPORAL_ADDRESS", local(ports.temporal)),
        ("TEMPORAL_NAMESPACE", "default".to_owned()),
        ("TEMPORAL_UI_URL", format!("http://{}", local(ports.temporal_ui))),
        ("LISTEN_ADDRESS", local(ports.api)),
        ("WORKER_LISTEN_ADDRESS", local(ports.worker)),
        ("PUBLIC_URL", format!("http://{}", local(ports.api))),
        ("STORAGE_URL", storage),
        // Limits the memory used by the database driver (docs/settings.md).
        ("MYSQL_ASYNC_BUFFER_SIZE_CAP", "65536".to_owned()),
    ])
}

/// Returns settings that the user can override, for example to use a real LoopAI account or mail server.
fn default_settings(
    ports: Ports,
    set_by_user: impl Fn(&str) -> bool,
) -> Vec<(&'static str, String)> {
    let mut settings = vec![("LOOPAI_API_URL", format!("http://{}", local(ports.simulator)))];
    // The mail catcher's port and TLS setting must not be used with another mail server.
    if !set_by_user("SMTP_HOST") {
        settings.push(("SMTP_HOST", "127.0.0.1".to_owned()));
        settings.push(("SMTP_PORT", ports.smtp.to_string()));
        settings.push(("SMTP_TLS", "none".to_owned()));
    }
    settings.retain(|(name, _)| !set_by_user(name));
    settings
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PortOptions;

    fn defaults(set_by_user: &[&str]) -> Result<Vec<&'static str>> {
        let ports = PortOptions::default().resolve(0)?;
        let settings = default_settings(ports, |name| set_by_user.contains(&name));
        Ok(settings.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn user_settings_take_precedence() -> Result<()> {
        assert_eq!(defaults(&[])?, ["LOOPAI_API_URL", "SMTP_HOST", "SMTP_PORT", "SMTP_TLS"]);
        assert_eq!(defaults(&["LOOPAI_API_URL"])?, ["SMTP_HOST", "SMTP_PORT", "SMTP_TLS"]);
        assert_eq!(defaults(&["SMTP_TLS"])?, ["LOOPAI_API_URL", "SMTP_HOST", "SMTP_PORT"]);
        Ok(())
    }

    #[test]
    fn mail_catcher_settings_are_not_used_with_another_mail_server() -> Result<()> {
        assert_eq!(defaults(&["SMTP_HOST"])?, ["LOOPAI_API_URL"]);
        Ok(())
    }
}
