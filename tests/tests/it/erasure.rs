//! Tests of the erasure of personal data.

mod columns;
mod concurrency;
mod log;
mod open_runs;
mod receipts;
mod replay;
mod retention;

use diagflow_tests::responses::body;
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, Stack, Staff};
use reqwest::Response;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const REASON: &str = "asked for by the patient";

async fn request_erasure(admin: &Staff, id: &str) -> Response {
    let path = format!("/api/admin/submissions/{id}/erase");
    admin.post(&path, &json!({"reason": REASON, "confirm": id})).await
}

async fn erase(admin: &Staff, submission: &AcceptedSubmission) -> Value {
    body(request_erasure(admin, &submission.submission_id).await).await
}

/// Returns the paths of the submission's stored files.
async fn stored_files(stack: &Stack, submission: &AcceptedSubmission) -> Vec<PathBuf> {
    let files = stack.store.files(id_of(submission)).await.expect("files");
    let paths = files.iter().map(|file| {
        let digest = file.sha256.to_string();
        stack.files().join(&digest[..2]).join(digest)
    });
    paths.collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Runs `diagflow`. Returns whether it succeeded, and its output.
async fn run(stack: &Stack, arguments: &[&str]) -> (bool, String) {
    let output = stack.run_command(arguments).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}
