//! The `diagflow` binary: reads the settings, wires the crates together, and runs one command.

mod commands;
mod database;
mod logging;
mod metrics;
mod settings;
mod shutdown;
mod temporal;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Diagflow accepts patients' photos, has them diagnosed and delivers the results.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the HTTP API and run its background tasks
    Serve,
    /// Run workflows and their activities
    Work,
    /// Migrate the database to the schema of this version
    Migrate(commands::migrate::Args),
    /// Simulate LoopAI, for tests and for use without an account
    LoopaiSim(commands::loopai_sim::Args),
    /// Run a mail server that delivers nothing and shows all e-mails in the browser
    MailCatcher(commands::mail_catcher::Args),
    /// Submit photos and wait for the result
    Submit(commands::submit::Args),
    /// List the routes of the API and the roles that may use them
    Routes,
    /// Verify the audit log
    Audit(commands::audit::Args),
    /// Update e-mails, runs and sessions after a restore; run this before the API and the workers start
    AfterRestore(commands::after_restore::Args),
    /// Create, list and disable accounts, including the first admin
    User(commands::user::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    // Installs the TLS back end of every client in the process. Fails only if one is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match Cli::parse().command {
        Command::Serve => commands::serve::run().await,
        Command::Work => commands::work::run().await,
        Command::Migrate(args) => commands::migrate::run(args).await,
        Command::LoopaiSim(args) => commands::loopai_sim::run(args).await,
        Command::MailCatcher(args) => commands::mail_catcher::run(args).await,
        Command::Submit(args) => commands::submit::run(args).await,
        Command::Routes => commands::routes::run().await,
        Command::Audit(args) => commands::audit::run(args).await,
        Command::AfterRestore(args) => commands::after_restore::run(args).await,
        Command::User(args) => commands::user::run(args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("diagflow: {error:#}");
            ExitCode::FAILURE
        }
    }
}
