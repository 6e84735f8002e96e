//! The `diagflow` binary, which reads the settings and runs a subcommand.

mod commands;
mod database;
mod eraser;
mod logging;
mod metrics;
mod once_per_minute;
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
    /// Migrate the database to this version's schema
    Migrate(commands::migrate::Args),
    /// Simulate LoopAI, for tests and for running Diagflow without a LoopAI account
    LoopaiSim(commands::loopai_sim::Args),
    /// Run a mail server that delivers nothing and shows all e-mails in the browser
    MailCatcher(commands::mail_catcher::Args),
    /// Submit photos and wait for the result
    Submit(commands::submit::Args),
    /// List the API's routes and the roles that may use them
    Routes,
    /// Verify the audit log
    Audit(commands::audit::Args),
    /// Permanently erase all personal data in a submission
    Erase(commands::erase::Args),
    /// Correct the states of e-mails, runs and sessions after a database restore. Run this command before starting the
    /// API and the workers
    AfterRestore(commands::after_restore::Args),
    /// Reassign the runs to another Temporal namespace or cluster
    MoveTemporal(commands::move_temporal::Args),
    /// Create, list and disable accounts, including the first admin
    User(commands::user::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    // Installs the TLS backend for all clients in the process. This fails only if one is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let success = |()| ExitCode::SUCCESS;
    let outcome = match Cli::parse().command {
        Command::Serve => commands::serve::run().await.map(success),
        Command::Work => commands::work::run().await.map(success),
        Command::Migrate(args) => commands::migrate::run(args).await.map(success),
        Command::LoopaiSim(args) => commands::loopai_sim::run(args).await.map(success),
        Command::MailCatcher(args) => commands::mail_catcher::run(args).await.map(success),
        Command::Submit(args) => commands::submit::run(args).await.map(success),
        Command::Routes => commands::routes::run().await.map(success),
        Command::Audit(args) => commands::audit::run(args).await,
        Command::Erase(args) => commands::erase::run(args).await.map(success),
        Command::AfterRestore(args) => commands::after_restore::run(args).await.map(success),
        Command::MoveTemporal(args) => commands::move_temporal::run(args).await.map(success),
        Command::User(args) => commands::user::run(args).await.map(success),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("diagflow: {error:#}");
            ExitCode::FAILURE
        }
    }
}
