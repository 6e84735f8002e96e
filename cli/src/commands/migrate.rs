//! `diagflow migrate`.

use crate::settings::Settings;
use anyhow::Context;
use diagflow_store::Store;

/// Arguments of `diagflow migrate`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Take all migrations back instead. Deletes all data.
    #[arg(long)]
    revert_all: bool,
}

/// Applies what is missing, and says what that was.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let settings = Settings::read()?;
    let url = &settings.database.url;
    let (word, names) = if args.revert_all {
        ("reverted", Store::revert_all(url).await)
    } else {
        ("applied", Store::migrate(url).await)
    };
    let names = names.with_context(|| {
        format!("cannot migrate the database at {} (DATABASE_URL)", settings.database.address())
    })?;
    if names.is_empty() {
        println!("nothing to do: the database is up to date");
    }
    for name in names {
        println!("{word} {name}");
    }
    if !args.revert_all {
        // Where a version that does not count ran beside this one, the counters need it.
        let store = Store::connect(&settings.database).await?;
        store.recount_submissions().await.context("cannot count the submissions anew")?;
    }
    Ok(())
}
