//! `diagflow after-restore`: updates e-mails, runs and sessions after the database was restored.

use super::operator;
use crate::settings::AdminSettings;
use diagflow_store::{Action, AuditKey, Store, TemporalState};
use secrecy::ExposeSecret;

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Temporal {
    /// Temporal still has its data from after the restore point
    Retained,
    /// Temporal was restored too, or is empty
    Restored,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Reason for the restore, for the audit log
    #[arg(long)]
    reason: String,
    /// State of Temporal's data. With the compose file, use "restored": the backup includes Temporal
    #[arg(long)]
    temporal: Temporal,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let settings = AdminSettings::read()?;
    let store = Store::connect(&settings.database).await?;
    let key = AuditKey::new(settings.audit_key.expose_secret());
    let entry =
        operator::audit_entry(&key, Action::BackupRestore, None).with("reason", args.reason);
    let (temporal, affected_runs) = match args.temporal {
        Temporal::Retained => (TemporalState::Retained, "the runs that Temporal has closed"),
        Temporal::Restored => (TemporalState::Restored, "all these runs"),
    };
    let outcome = store.settle_after_restore(temporal, &entry).await;
    let outcome = outcome.map_err(|error| operator::explain(error.into(), &settings.database))?;
    println!(
        "marked {} pending e-mails as unknown: they may have been sent and will not be sent again",
        outcome.deliveries_settled
    );
    println!(
        "{} runs were open, and their patients may have been notified: the e-mails of {affected_runs} \
         will be marked as unknown too",
        outcome.runs
    );
    println!("ended {} sessions: all users must sign in again", outcome.sessions);
    println!(
        "review accounts and API keys: those disabled or revoked after the restore point are valid again"
    );
    println!("now start the workers and the API, and then do the checks in docs/backup.md");
    Ok(())
}
