//! `diagflow move-temporal`: reassigns the runs to the configured Temporal namespace and cluster.

use super::operator;
use crate::settings::MoveSettings;
use anyhow::Context;
use diagflow_activities::temporal;
use diagflow_store::{Action, AuditKey, Store};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Reason for the move, for the audit log
    #[arg(long)]
    reason: String,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let settings = MoveSettings::read()?;
    let admin = &settings.admin;
    let store = Store::connect(&admin.database).await?;
    let address = &settings.temporal.address;
    let client = temporal::connect(&settings.temporal, "diagflow-move-temporal").await;
    let (client, _) = client.with_context(|| format!("cannot connect to Temporal at {address}"))?;
    let cluster = temporal::cluster(&client).await.context("Temporal does not respond")?;
    let key = AuditKey::new(&admin.audit_keys);
    let entry = operator::audit_entry(&key, Action::TemporalMove, None).with("reason", args.reason);
    let earlier = store.move_to_temporal_cluster(&cluster, &entry).await;
    match earlier.map_err(|error| operator::explain(error.into(), &admin.database))? {
        Some(earlier) => println!("moved the runs from the {earlier} to the {cluster}"),
        None => println!("recorded that the runs belong to the {cluster}"),
    }
    println!(
        "runs that are open in the database but not in this namespace will end as failed (`run_orphaned`)"
    );
    Ok(())
}
