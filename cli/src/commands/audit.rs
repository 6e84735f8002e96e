//! `diagflow audit`: proves the audit.

use crate::settings::AdminSettings;
use anyhow::{Context, bail};
use diagflow_store::{AuditCheckpoint, AuditKey, Store};
use secrecy::ExposeSecret;

/// Arguments of `diagflow audit`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Read every line and its seal again, and say what was changed, removed or put in.
    Verify {
        /// A checkpoint that an earlier verification printed. Keep marks outside the database: as long as one is
        /// found again, nothing before it was changed, not even by somebody who knows AUDIT_KEY.
        #[arg(long, value_name = "NUMBER:SEAL")]
        checkpoint: Option<AuditCheckpoint>,
    },
}

/// Proves it, and says what was found.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let settings = AdminSettings::read()?;
    let address = settings.database.address();
    let store = Store::connect(&settings.database).await?;
    let key = AuditKey::new(settings.audit_key.expose_secret());
    let Command::Verify { checkpoint } = args.command;
    let check = store.verify_audit(&key, checkpoint.as_ref()).await;
    let check =
        check.with_context(|| format!("cannot read the audit at {address} (DATABASE_URL)"))?;
    for fault in &check.faults {
        println!("{fault}");
    }
    println!("{} lines, the last one is {}", check.entries, check.end);
    if check.faults.is_empty() {
        println!("nothing was changed, removed or put in");
        return Ok(());
    }
    bail!("the audit is not as it was written: {} fault(s)", check.faults.len())
}
