//! `diagflow erase`: erases submissions, verifies receipts, and repeats erasures in a restored database.

use super::operator;
use crate::eraser::eraser;
use crate::settings::{AdminSettings, EraseSettings};
use anyhow::{Context, bail, ensure};
use diagflow_store::{
    Action, AuditKey, BlobStore, EraseOutcome, Eraser, Erasure, ErasureLog, ErasureReceipt,
    NewAuditEntry, ObjectKind, ReceiptKey, RetentionPeriod, Store, StoreError, SubmissionId,
};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Number of submissions that `--retention` lists or erases at a time.
const BATCH: i64 = 1000;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    erase: EraseArgs,
}

#[derive(clap::Args)]
struct EraseArgs {
    /// Id of the submission
    #[arg(required_unless_present = "retention", conflicts_with = "retention")]
    id: Option<SubmissionId>,
    /// Reason, for the audit log and the receipt. Do not include any of the patient's personal data
    #[arg(long, required_unless_present = "retention")]
    reason: Option<String>,
    /// Repeat the id to confirm because an erasure cannot be undone
    #[arg(long, value_name = "ID", required_unless_present = "retention")]
    confirm: Option<SubmissionId>,
    /// Erase all submissions that ended more than RETENTION_DAYS ago
    #[arg(long, conflicts_with_all = ["reason", "confirm"])]
    retention: bool,
    /// List the submissions that `--retention` would erase, without erasing them
    #[arg(long, requires = "retention")]
    dry_run: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Verify the signature of a receipt. The file contains the receipt itself or the API response that includes it
    Verify { file: PathBuf },
    /// Repeat the erasures in an erasure log after the database or files have been restored from a backup
    Replay { file: PathBuf },
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Some(Command::Verify { file }) => verify(&file),
        Some(Command::Replay { file }) => replay(&file).await,
        None if args.erase.retention => erase_expired(args.erase.dry_run).await,
        None => erase_one(args.erase).await,
    }
}

async fn connect(settings: &EraseSettings) -> anyhow::Result<(Eraser, Store)> {
    let store = Store::connect(&settings.admin.database).await?;
    let blobs = BlobStore::open(&settings.storage)?;
    let eraser = eraser(store.clone(), blobs, &settings.admin.audit_keys, &settings.erasure);
    Ok((eraser, store))
}

pub(super) fn audit_entry(settings: &AdminSettings) -> NewAuditEntry {
    let key = AuditKey::new(&settings.audit_keys);
    let entry = operator::audit_entry(&key, Action::SubmissionErase, None);
    NewAuditEntry { object_kind: ObjectKind::Submission, ..entry }
}

async fn erase_one(args: EraseArgs) -> anyhow::Result<()> {
    let (Some(id), Some(reason), Some(confirm)) = (args.id, args.reason, args.confirm) else {
        bail!("enter the id, --reason and --confirm");
    };
    ensure!(id == confirm, "--confirm is not {id}: repeat the id to confirm the erasure");
    ensure!(!reason.trim().is_empty(), "enter a reason");
    let settings = EraseSettings::read()?;
    let (eraser, _) = connect(&settings).await?;
    let entry = audit_entry(&settings.admin);
    let mut is_waiting = false;
    let erasure = loop {
        let outcome = eraser.erase(id, reason.trim(), &entry).await;
        match outcome.map_err(|error| operator::explain(error.into(), &settings.admin.database))? {
            EraseOutcome::Erased(erasure) => break erasure,
            EraseOutcome::Unchanged(erasure) => {
                eprintln!("the submission was already erased");
                break erasure;
            }
            EraseOutcome::EmailInProgress { left } => {
                if !is_waiting {
                    eprintln!(
                        "an e-mail for this submission is being sent; waiting until it has finished"
                    );
                    is_waiting = true;
                }
                tokio::time::sleep(left.min(Duration::from_secs(1))).await;
            }
            EraseOutcome::NotFound => bail!("there is no submission {id}"),
        }
    };
    print(&erasure)
}

/// Prints the receipt to stdout and everything else to stderr.
fn print(erasure: &Erasure) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(&erasure.receipt)?);
    if erasure.pending_files > 0 {
        let pending = erasure.pending_files;
        eprintln!("files that could not be deleted yet: {pending} (the API deletes them later)");
    }
    Ok(())
}

async fn erase_expired(dry_run: bool) -> anyhow::Result<()> {
    let settings = EraseSettings::read()?;
    let Some(period) = settings.erasure.retention else {
        bail!("RETENTION_DAYS is not set, so submissions never expire");
    };
    let (eraser, store) = connect(&settings).await?;
    let explain = |error: anyhow::Error| operator::explain(error, &settings.admin.database);
    let days = period.days();
    if dry_run {
        let listed = list_expired(&store, period).await.map_err(|error| explain(error.into()))?;
        println!("submissions that ended more than {days} days ago: {listed}");
        return Ok(());
    }
    let mut total = 0;
    let report = |erased: usize| {
        total += erased;
        eprintln!("erased so far: {total}");
    };
    let erased = eraser.erase_expired(period, BATCH, &audit_entry(&settings.admin), report).await;
    println!("erased submissions: {}", erased.map_err(|error| explain(error.into()))?);
    Ok(())
}

/// Prints all expired submissions and returns their number.
async fn list_expired(store: &Store, period: RetentionPeriod) -> Result<usize, StoreError> {
    let (mut listed, mut last) = (0, None);
    loop {
        let expired = store.expired_submissions(period, last, BATCH).await?;
        if expired.is_empty() {
            return Ok(listed);
        }
        for submission in &expired {
            println!("{} {} {}", submission.id, submission.status, submission.finished_at);
        }
        listed += expired.len();
        last = expired.last().copied();
    }
}

fn verify(file: &Path) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Receipt {
        Response { receipt: ErasureReceipt },
        Receipt(ErasureReceipt),
    }
    let settings = AdminSettings::read()?;
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (Receipt::Response { receipt } | Receipt::Receipt(receipt)) =
        serde_json::from_str(&text)
            .with_context(|| format!("there is no receipt in {}", file.display()))?;
    ensure!(
        ReceiptKey::new(&settings.audit_keys).verifies(&receipt),
        "the receipt was modified, or was signed with a key other than AUDIT_KEY and PREVIOUS_AUDIT_KEYS"
    );
    let content = receipt.content;
    println!("the receipt is authentic");
    println!(
        "submission {} was erased at {}: {}",
        content.submission_id, content.erased_at, content.reason
    );
    for file in &content.removed.files {
        let note =
            if file.shared { " (retained: another submission has the same file)" } else { "" };
        println!("file {}{note}", file.sha256);
    }
    Ok(())
}

async fn replay(file: &Path) -> anyhow::Result<()> {
    let settings = EraseSettings::read()?;
    replay_all(&settings, &[ErasureLog::new(file.to_owned())]).await
}

/// Repeats the erasures in all logs. Continues after an erasure that cannot be repeated, and then fails at the end. An
/// unreadable log or an unavailable database ends the replay immediately.
pub(super) async fn replay_all(
    settings: &EraseSettings,
    logs: &[ErasureLog],
) -> anyhow::Result<()> {
    let (eraser, _) = connect(settings).await?;
    let key = ReceiptKey::new(&settings.admin.audit_keys);
    let entry = audit_entry(&settings.admin).with("replayed", true);
    let (mut erased, mut unchanged, mut failed) = (0, 0, 0);
    for log in logs {
        let path = log.path().display();
        for receipt in log.read().with_context(|| format!("cannot read {path}"))? {
            let receipt = match receipt {
                Ok(receipt) if key.verifies(&receipt) => receipt,
                Ok(receipt) => {
                    eprintln!("{path}: wrong signature: {}", receipt.content.submission_id);
                    failed += 1;
                    continue;
                }
                Err(line) => {
                    eprintln!("{path}: line {line} is not a receipt");
                    failed += 1;
                    continue;
                }
            };
            let id = receipt.content.submission_id;
            match eraser.replay(&receipt, &entry).await {
                Ok(EraseOutcome::Erased(_)) => erased += 1,
                Ok(EraseOutcome::Unchanged(_) | EraseOutcome::NotFound) => unchanged += 1,
                Ok(EraseOutcome::EmailInProgress { .. }) => {
                    eprintln!("an e-mail for {id} is being sent");
                    failed += 1;
                }
                Err(error) if error.concerns_all() => {
                    return Err(operator::explain(error.into(), &settings.admin.database));
                }
                Err(error) => {
                    eprintln!("cannot erase {id}: {error}");
                    failed += 1;
                }
            }
        }
    }
    println!("erased again: {erased}, already erased or not in the database: {unchanged}");
    ensure!(failed == 0, "erasures that could not be repeated: {failed} (see above)");
    Ok(())
}
