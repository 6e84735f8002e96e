//! `diagflow audit`: verifies the audit log. The exit code is 0 if the log is proven complete, 1 if it was tampered
//! with, could not be read or was sealed with a missing key, and 2 if no tampering was found but the end of the log
//! could not be verified.

use crate::settings::AdminSettings;
use anyhow::{Context, bail};
use diagflow_store::{AuditCheckpoint, AuditFault, AuditKey, Store};
use std::process::ExitCode;

const END_NOT_PROVED: u8 = 2;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Check every audit entry and its seal, and report entries that were changed, removed or inserted. Exits with 0 if
    /// there are none, 1 if there are any or a key is missing, and 2 if there are none but no checkpoint was given
    Verify {
        /// Checkpoint printed by an earlier verification, or written by the API to its log. If the audit log still
        /// matches the checkpoint, nobody has changed or removed any entry before it, even with access to AUDIT_KEY.
        /// Store checkpoints outside the database
        #[arg(long, value_name = "NUMBER:SEAL")]
        checkpoint: Option<AuditCheckpoint>,
    },
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let settings = AdminSettings::read()?;
    let address = settings.database.address();
    let store = Store::connect(&settings.database).await?;
    let key = AuditKey::new(&settings.audit_keys);
    let Command::Verify { checkpoint } = args.command;
    let check = store.verify_audit(&key, checkpoint.as_ref()).await;
    let check =
        check.with_context(|| format!("cannot read the audit log at {address} (DATABASE_URL)"))?;
    for fault in &check.faults {
        println!("{fault}");
    }
    println!("{} entries, checkpoint {}", check.entries, check.end);
    let is_unverified = |fault: &AuditFault| matches!(fault, AuditFault::UnknownKey { .. });
    if !check.faults.is_empty() && check.faults.iter().all(is_unverified) {
        bail!(
            "some entries cannot be verified: add the missing keys to PREVIOUS_AUDIT_KEYS. If you never had a key with \
             this id, the audit log was tampered with"
        );
    }
    if !check.faults.is_empty() {
        bail!("the audit log was tampered with: {} fault(s) found", check.faults.len());
    }
    println!("no entry was changed, removed or inserted");
    if let Some(checkpoint) = checkpoint {
        println!("the entries up to {} are proven complete", checkpoint.number);
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "the end of the log could not be verified: the last entries may have been removed. Repeat the command with \
         --checkpoint and a checkpoint that is stored outside the database. The API writes a checkpoint to its log \
         every minute"
    );
    Ok(ExitCode::from(END_NOT_PROVED))
}
