//! `diagflow after-restore`: settles e-mails, runs and sessions after the database was restored.

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
    /// Why the database was restored, for the audit log
    #[arg(long)]
    reason: String,
    /// The state of Temporal; "restored" with the compose file, where it is part of the same backup
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
        Temporal::Retained => (TemporalState::Retained, "for runs that Temporal has closed since"),
        Temporal::Restored => (TemporalState::Restored, "for all of them, when they end"),
    };
    let outcome = store.settle_after_restore(temporal, &entry).await;
    let outcome = outcome.map_err(|error| operator::explain(error.into(), &settings.database))?;
    println!(
        "{} pending e-mails are now unknown: they may have been sent and are not sent again",
        outcome.deliveries_settled
    );
    println!(
        "{} runs were open, and their patients may have been notified: the e-mails {affected_runs}, are \
         unknown too",
        outcome.runs
    );
    println!("{} sessions ended: all users must sign in again", outcome.sessions);
    println!(
        "review accounts and API keys: those disabled or revoked after the restore point are valid again"
    );
    println!("now start the workers and the API; docs/backup.md describes what to check then");
    Ok(())
}
