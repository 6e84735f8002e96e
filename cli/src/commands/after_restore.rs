//! `diagflow after-restore`: corrects the states of e-mails, runs and sessions after a database restore.

use super::{erase, operator};
use crate::settings::EraseSettings;
use anyhow::ensure;
use diagflow_store::{Action, AuditKey, ErasureLog, ErasureSettings, Store, TemporalState};
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Temporal {
    /// Temporal was not restored and still has the data written after the restore point
    Retained,
    /// Temporal was also restored, or is empty
    Restored,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Reason for the restore, for the audit log
    #[arg(long)]
    reason: String,
    /// Erasure log whose erasures are repeated. Can be given more than once. The log in ERASURE_LOG is always included
    #[arg(long, value_name = "FILE")]
    erasures: Vec<PathBuf>,
    /// Continue although the log in ERASURE_LOG is missing, because nothing has been erased yet or because the log is
    /// lost
    #[arg(long)]
    no_erasure_log: bool,
    /// State of Temporal's data. Use "restored" with the compose file because its backup includes Temporal
    #[arg(long)]
    temporal: Temporal,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let settings = EraseSettings::read()?;
    let admin = &settings.admin;
    let logs = erasure_logs(&settings.erasure, args.erasures, args.no_erasure_log)?;
    let store = Store::connect(&admin.database).await?;
    let key = AuditKey::new(&admin.audit_keys);
    let entry =
        operator::audit_entry(&key, Action::BackupRestore, None).with("reason", args.reason);
    let (temporal, affected_runs) = match args.temporal {
        Temporal::Retained => (TemporalState::Retained, "the runs that Temporal has closed"),
        Temporal::Restored => (TemporalState::Restored, "all open runs"),
    };
    let outcome = store.settle_after_restore(temporal, &entry).await;
    let outcome = outcome.map_err(|error| operator::explain(error.into(), &admin.database))?;
    println!(
        "marked {} pending e-mails as unknown: they may have been sent and will not be sent again",
        outcome.deliveries_settled
    );
    println!(
        "{} runs were open, and their patients may already have been notified: the e-mails of \
         {affected_runs} will also be marked as unknown",
        outcome.runs
    );
    println!("ended {} sessions: all users must sign in again", outcome.sessions);
    if logs.is_empty() {
        println!(
            "no erasure log was given: if submissions were erased after the restore point, run `diagflow erase replay`"
        );
    } else {
        erase::replay_all(&settings, &logs).await?;
    }
    println!(
        "review accounts and API keys: those disabled or revoked after the restore point are valid again"
    );
    println!("now start the workers and the API, and then follow the checks in docs/backup.md");
    Ok(())
}

/// Returns the given logs and the log in `ERASURE_LOG`. Fails if any of them is missing, except that the log in
/// `ERASURE_LOG` is omitted if it `may_be_missing`. Must be called before anything is changed.
fn erasure_logs(
    settings: &ErasureSettings,
    given: Vec<PathBuf>,
    may_be_missing: bool,
) -> anyhow::Result<Vec<ErasureLog>> {
    for file in &given {
        ensure!(file.is_file(), "cannot read {}", file.display());
    }
    let own = settings.log.clone().filter(|log| !given.contains(log));
    if let Some(log) = &own {
        ensure!(
            log.is_file() || may_be_missing,
            "cannot read {} (ERASURE_LOG), which contains the erasures to be repeated. If the file is lost, pass a copy \
             with --erasures. If nothing has been erased yet, or you accept that erased data comes back, pass \
             --no-erasure-log",
            log.display()
        );
    }
    let own = own.filter(|log| log.is_file());
    Ok(given.into_iter().chain(own).map(ErasureLog::new).collect())
}
