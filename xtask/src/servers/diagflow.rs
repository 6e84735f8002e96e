//! The product's own processes, with the settings of a system on this machine.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::SystemFolder;
use crate::ports::Ports;
use crate::process::{self, Server, Servers};
use crate::progress::Step;
use crate::workspace::file_url;
use crate::{guard, http};

const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// A worker may take 45 s to end its activities (`WORKER_SHUTDOWN_TIMEOUT_SECONDS`).
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// The product's binary with everything that its processes have in common.
pub(crate) struct Diagflow<'a> {
    binary: PathBuf,
    home: &'a SystemFolder,
    ports: Ports,
    settings: Vec<(&'static str, String)>,
}

impl<'a> Diagflow<'a> {
    /// The binary, to be run against the servers at `ports`.
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

    /// Brings the database's schema up to date.
    pub(crate) fn migrate(&self) -> Result<()> {
        let step = Step::begin("migrate the database");
        process::run_logged(self.command("migrate"), &self.home.log("migrate"))?;
        step.done("the database is migrated");
        Ok(())
    }

    /// Starts the stand-in for LoopAI.
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

    /// Starts the mail server that delivers to an inbox for browsers.
    pub(crate) fn start_mail_catcher(&self, servers: &mut Servers) -> Result<()> {
        let mut command = self.command("mail-catcher");
        command.args(["--smtp", &local(self.ports.smtp), "--http", &local(self.ports.inbox)]);
        command.arg("--spool").arg(self.home.data("mail"));
        self.start(servers, "mail catcher", "mail-catcher", command, self.ports.inbox, "/health")
    }

    /// Starts the worker.
    pub(crate) fn start_worker(&self, servers: &mut Servers) -> Result<()> {
        self.start(servers, "worker", "worker", self.command("work"), self.ports.worker, "/ready")
    }

    /// Starts the API and the pages.
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

/// Settings that tie the processes to this system's own servers.
fn fixed_settings(
    home: &SystemFolder,
    ports: Ports,
    database_password: &str,
) -> Result<Vec<(&'static str, String)>> {
    let storage = file_url(&home.data("storage")).context("the storage folder")?;
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
    ])
}

/// Settings that give way to the user's own: a real LoopAI account, a real mail server. What the product
/// has a good default for, such as its logs, is not among them: that default holds here as well.
fn default_settings(
    ports: Ports,
    set_by_user: impl Fn(&str) -> bool,
) -> Vec<(&'static str, String)> {
    let mut settings = vec![("LOOPAI_API_URL", format!("http://{}", local(ports.simulator)))];
    // A mail server of the user's own is not to be spoken to on our catcher's port, or without its TLS.
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
    fn settings_of_the_user_take_precedence() -> Result<()> {
        assert_eq!(defaults(&[])?, ["LOOPAI_API_URL", "SMTP_HOST", "SMTP_PORT", "SMTP_TLS"]);
        assert_eq!(defaults(&["LOOPAI_API_URL"])?, ["SMTP_HOST", "SMTP_PORT", "SMTP_TLS"]);
        assert_eq!(defaults(&["SMTP_TLS"])?, ["LOOPAI_API_URL", "SMTP_HOST", "SMTP_PORT"]);
        Ok(())
    }

    #[test]
    fn an_external_mail_server_gets_no_settings_of_the_catcher() -> Result<()> {
        assert_eq!(defaults(&["SMTP_HOST"])?, ["LOOPAI_API_URL"]);
        Ok(())
    }
}
