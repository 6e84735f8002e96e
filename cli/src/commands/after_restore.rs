//! `diagflow after-restore`: settles what a database cannot know that was brought back to an earlier moment.

use super::operator;
use crate::settings::AdminSettings;
use diagflow_store::{Action, AuditKey, Store, TemporalState};
use secrecy::ExposeSecret;

/// What became of Temporal.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Temporal {
    /// It has its data of after that moment
    Retained,
    /// It was brought back too, or begins anew
    Restored,
}

/// Arguments of `diagflow after-restore`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Why it was restored, for the audit.
    #[arg(long)]
    reason: String,
    /// What became of Temporal: the compose file's is in the same backup, and so "restored"
    #[arg(long)]
    temporal: Temporal,
}

/// Does it, and says what comes next.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let settings = AdminSettings::read()?;
    let store = Store::connect(&settings.database).await?;
    let key = AuditKey::new(settings.audit_key.expose_secret());
    let line = operator::audit_entry(&key, Action::BackupRestore, None).with("reason", args.reason);
    let (temporal, affected_runs) = match args.temporal {
        Temporal::Retained => (TemporalState::Retained, "of those that Temporal has ended since"),
        Temporal::Restored => (TemporalState::Restored, "of all of them, once they end"),
    };
    let outcome = store.settle_after_restore(temporal, &line).await;
    let outcome = outcome.map_err(|error| operator::explain(error.into(), &settings.database))?;
    println!(
        "{} e-mails that were owed are unknown now: they may have been sent, and are not sent again",
        outcome.deliveries_settled
    );
    println!(
        "{} runs were open, and may have told their end: the e-mails {affected_runs}, are unknown too",
        outcome.runs
    );
    println!("{} sessions ended: everybody signs in again", outcome.sessions);
    println!(
        "look through accounts and API keys: what was disabled or revoked after that moment is good again"
    );
    println!("now start the workers and the API; docs/backup.md says what to look at then");
    Ok(())
}
