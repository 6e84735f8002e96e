//! Records a history of each [`Case`] in `tests/histories/`. Use `cargo xtask record` to run this program with the
//! servers it needs. `docs/CHANGING-WORKFLOWS.md` explains when to record histories.

use anyhow::{Context, Result};
use diagflow_tests::cases::Case;
use diagflow_tests::changed_worker::record_patched_delivery;
use diagflow_tests::{history, servers};
use serde_json::Value;
use std::path::Path;

#[tokio::main]
async fn main() -> Result<()> {
    let (folder, patched) = (history::recordings(), history::patched_recordings());
    let generation = next_generation(&folder)?;
    for case in Case::ALL {
        let (stack, accepted) = case.run().await;
        let json = case.history(&stack, &accepted).await.to_json().await?;
        let mut document: Value = serde_json::from_slice(&json)?;
        history::redact_identities(&mut document);
        write(&folder, case.name(), generation, &document)?;
        stack.stop().await;
    }
    let document = record_patched_delivery(servers::temporal()).await;
    write(&patched, "delivery", next_generation(&patched)?, &document)
}

fn write(folder: &Path, name: &str, generation: u32, document: &Value) -> Result<()> {
    let name = format!("{name}.{generation}.json");
    let text = serde_json::to_string_pretty(document)?;
    std::fs::write(folder.join(&name), text + "\n").with_context(|| name.clone())?;
    println!("recorded {name}");
    Ok(())
}

/// Returns the number of the next generation. Recorded files are named `CASE.GENERATION.json`.
fn next_generation(folder: &Path) -> Result<u32> {
    let mut highest = 0;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number = name.split('.').nth(1).and_then(|number| number.parse().ok());
        highest = highest.max(number.unwrap_or(0));
    }
    Ok(highest + 1)
}
