//! `diagflow mail-catcher`: runs a mail server that delivers nothing.

use crate::settings::LogSettings;
use crate::{logging, shutdown};
use anyhow::Context;
use diagflow_simulators::mail::{MailCatcher, Settings};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address to listen on for SMTP
    #[arg(long, default_value = "127.0.0.1:1025")]
    smtp: SocketAddr,
    /// Address to listen on for the inbox page
    #[arg(long, default_value = "127.0.0.1:8025")]
    http: SocketAddr,
    /// Folder for storing e-mails. Without this option, they are lost when the process exits
    #[arg(long)]
    spool: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    logging::init(&LogSettings::read()?)?;
    let stop = shutdown::on_signal()?;
    let settings = Settings { spool: args.spool, ..Settings::default() };
    let catcher = MailCatcher::start(args.smtp, args.http, settings)
        .await
        .with_context(|| format!("cannot listen on {} and {}", args.smtp, args.http))?;
    tracing::info!(smtp = %catcher.smtp_address(), inbox = catcher.url(), "catching e-mails");
    catcher.serve_until(stop.cancelled_owned()).await;
    Ok(())
}
