//! Starts the product and runs `tests/clients/run`, which checks it with clients of other projects. `cargo xtask
//! clients` starts the servers and runs it.

use anyhow::Result;
use diagflow_tests::Stack;
use std::process::ExitCode;
use tokio::process::Command;

const CHECKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/run");

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let stack = Stack::start().await;
    let status = Command::new(CHECKS).env("DIAGFLOW_URL", stack.client.url("")).status().await?;
    stack.stop().await;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
