//! The one binary: reads the settings, wires the crates together, and runs one role.

mod commands;
mod database;
mod logging;
mod metrics;
mod settings;
mod shutdown;
mod temporal;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Diagflow: takes patients' photos and sees their diagnosis through.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the HTTP API, and start queued runs.
    Serve,
    /// Work: run workflows and their activities.
    Work,
    /// Bring the database to this version's schema.
    Migrate(commands::migrate::Args),
    /// Simulate LoopAI, for people without an account and for tests.
    LoopaiSim(commands::loopai_sim::Args),
    /// Catch e-mails instead of delivering them, with an inbox for browsers.
    MailCatcher(commands::mail_catcher::Args),
    /// Send photos and follow them to the result.
    Submit(commands::submit::Args),
    /// Print every route of the API, and who may use it.
    Routes,
    /// Prove that nobody changed the audit.
    Audit(commands::audit::Args),
    /// Settle what a restored database cannot know: once, before the API and the workers start.
    AfterRestore(commands::after_restore::Args),
    /// Make, list and disable accounts: the first admin is made here.
    User(commands::user::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    // One TLS back end for every client in the process. Fails only if one is installed already.
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
