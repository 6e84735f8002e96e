//! Records one history for each [`Case`] into `tests/histories/`. `cargo xtask record` starts the servers and runs it;
//! `docs/CHANGING-WORKFLOWS.md` describes when to record.

use anyhow::{Context, Result};
use diagflow_tests::cases::Case;
use diagflow_tests::history;
use std::path::Path;

#[tokio::main]
async fn main() -> Result<()> {
    let folder = history::recordings();
    std::fs::create_dir_all(&folder)?;
    let generation = next_generation(&folder)?;
    for case in Case::ALL {
        let (stack, accepted) = case.run().await;
        let json = case.history(&stack, &accepted).await.to_json().await?;
        let mut document: serde_json::Value = serde_json::from_slice(&json)?;
        history::redact_identities(&mut document);
        let name = format!("{}.{generation}.json", case.name());
        let text = serde_json::to_string_pretty(&document)?;
        std::fs::write(folder.join(&name), text + "\n").with_context(|| name.clone())?;
        println!("recorded {name}");
        stack.stop().await;
    }
    Ok(())
}

/// File names are `CASE.GENERATION.json`.
fn next_generation(folder: &Path) -> Result<u32> {
    let mut highest = 0;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number = name.split('.').nth(1).and_then(|number| number.parse().ok());
        highest = highest.max(number.unwrap_or(0));
    }
    Ok(highest + 1)
}
