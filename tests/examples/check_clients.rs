//! Starts Diagflow and runs `tests/clients/run`, which checks the API with third-party clients and renders e-mails in
//! Chromium. Use `cargo xtask clients` to run this program with the servers it needs.

use anyhow::{Context, Result};
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::{Stack, photos};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use tempfile::TempDir;
use tokio::process::Command;

const CHECKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/run");

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let stack = Stack::start().await;
    let emails = TempDir::new()?;
    write_emails(&stack, emails.path()).await?;
    let status = Command::new(CHECKS)
        .env("DIAGFLOW_URL", stack.client.url(""))
        .env("EMAILS", emails.path())
        .status()
        .await?;
    stack.stop().await;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the HTML of one e-mail per outcome to the folder.
async fn write_emails(stack: &Stack, folder: &Path) -> Result<()> {
    let photo = [photos::retina()];
    stack.client.submit("long@example.org", "[sim: stuck]", &photo).await;
    let execution = stack.wait_for_polls(1).await;
    stack.loopai.complete_with(&execution, long_result())?;
    stack.client.submit("result@example.org", "itches", &photo).await;
    stack.client.submit("failed@example.org", "[sim: fail=too dark]", &photo).await;
    stack.client.submit("refused@example.org", "[sim: diagnose=422]", &photo).await;
    for name in ["long", "result", "failed", "refused"] {
        let recipient = format!("{name}@example.org");
        let mail = stack.mail.wait_for(|mail| mail.to == [recipient.as_str()], LIMIT).await?;
        let html = mail.html.as_deref().context("the e-mail has no HTML")?;
        std::fs::write(folder.join(format!("{name}.html")), html)?;
    }
    Ok(())
}

/// A result containing words wider than a phone screen.
fn long_result() -> Value {
    let text = ["W".repeat(300), "皮膚".repeat(100), "well-".repeat(80), "😀".repeat(60)].join(" ");
    let finding = json!({
        "label": text, "description": text, "confidence": 0.87, "file": "image-1.jpg",
    });
    json!({
        "notice": text,
        "summary": format!("{text}\n\nنتيجة {text}"),
        "findings": [finding, finding, text],
        "recommendations": [text, text],
    })
}
