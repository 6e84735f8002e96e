//! `diagflow audit`.

use crate::settings::AdminSettings;
use anyhow::{Context, bail};
use diagflow_store::{AuditCheckpoint, AuditKey, Store};
use secrecy::ExposeSecret;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Check every audit entry and its seal, and report entries that were changed, removed or inserted
    Verify {
        /// A checkpoint that an earlier verification printed. If it still matches, no earlier entry was changed, not
        /// even by somebody who knows AUDIT_KEY. Store checkpoints outside the database
        #[arg(long, value_name = "NUMBER:SEAL")]
        checkpoint: Option<AuditCheckpoint>,
    },
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let settings = AdminSettings::read()?;
    let address = settings.database.address();
    let store = Store::connect(&settings.database).await?;
    let key = AuditKey::new(settings.audit_key.expose_secret());
    let Command::Verify { checkpoint } = args.command;
    let check = store.verify_audit(&key, checkpoint.as_ref()).await;
    let check =
        check.with_context(|| format!("cannot read the audit log at {address} (DATABASE_URL)"))?;
    for fault in &check.faults {
        println!("{fault}");
    }
    println!("{} entries, checkpoint {}", check.entries, check.end);
    if check.faults.is_empty() {
        println!("no entry was changed, removed or inserted");
        return Ok(());
    }
    bail!("the audit log was tampered with: {} finding(s)", check.faults.len())
}
