//! `diagflow migrate`: applies or reverts database migrations.

use crate::settings::DatabaseSettings;
use anyhow::Context;
use diagflow_store::Store;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Revert all migrations instead of applying them. This deletes all data
    #[arg(long)]
    revert_all: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let settings = DatabaseSettings::read()?;
    let url = &settings.database.url;
    let (verb, names) = if args.revert_all {
        ("reverted", Store::revert_all(url).await)
    } else {
        ("applied", Store::migrate(url).await)
    };
    let names = names.with_context(|| {
        format!("cannot migrate the database at {} (DATABASE_URL)", settings.database.address())
    })?;
    if names.is_empty() {
        println!("the database is up to date");
    }
    for name in names {
        println!("{verb} {name}");
    }
    if !args.revert_all {
        // An older version, which does not maintain the counters, may have written to the database during the
        // migration.
        let store = Store::connect(&settings.database).await?;
        store.recount_submissions().await.context("cannot recount the submissions")?;
    }
    Ok(())
}
