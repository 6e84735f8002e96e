//! `diagflow after-restore`: settles what a database cannot know that was brought back to an earlier moment.

use super::operator;
use crate::settings::AccountSettings;
use diagflow_store::{Action, AuditKey, Store};
use secrecy::ExposeSecret;

/// Arguments of `diagflow after-restore`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Why it was restored, for the audit.
    #[arg(long)]
    reason: String,
}

/// Does it, and says what comes next.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let settings = AccountSettings::read()?;
    let store = Store::connect(&settings.database.pool()).await?;
    let key = AuditKey::new(settings.audit_key.expose_secret());
    let line = operator::did(&key, Action::BackupRestore, None).with("reason", args.reason);
    let done = store.after_restore(&line).await;
    let done = done.map_err(|error| operator::explained(error.into(), &settings.database))?;
    println!(
        "{} e-mails that were owed are unknown now: they may have been sent, and are not sent again",
        done.mails
    );
    println!("{} sessions ended: everybody signs in again", done.sessions);
    println!(
        "look through accounts and API keys: what was disabled or revoked after that moment is good again"
    );
    println!("now start the workers and the API; docs/backup.md says what to look at then");
    Ok(())
}
