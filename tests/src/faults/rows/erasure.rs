//! The row on erasures at critical moments.

use crate::AcceptedSubmission;
use crate::eventually;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::{Stack, StackOptions, id_of};
use crate::staff::Staff;
use diagflow_store::{Failpoint, Role};
use reqwest::Response;
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Staff erase submissions while a run is open, while an e-mail is being sent and while exports are running. The API is
/// killed at each step of an erasure, and the erasure is then repeated.
pub(crate) async fn at_critical_moments() -> RowReport {
    during_other_work().await.merge(killed_at_each_step().await)
}

async fn during_other_work() -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    let admin = Staff::with_role(&testbed.stack, Role::Admin).await;

    let open = testbed.submit_with_comments("[sim: stuck]").await;
    testbed.stack.wait_for_status(&open, "processing").await;
    erase(&mut testbed, &admin, &open).await;

    testbed.stack.failpoints.arm(Failpoint::AfterMailClaimed);
    let mailed = testbed.submit().await;
    testbed.stack.failpoints.wait_until_reached(Failpoint::AfterMailClaimed).await;
    let refused = send_erasure(&admin, &mailed).await.expect("a finished task");
    let refused = refused.expect("a response");
    assert_eq!(refused.status(), 409);
    assert!(refused.headers().contains_key("retry-after"));
    testbed.stack.failpoints.release(Failpoint::AfterMailClaimed);
    erase(&mut testbed, &admin, &mailed).await;

    let exported = testbed.submit().await;
    testbed.stack.wait_for_status(&exported, "completed").await;
    let email = testbed.acknowledged_mut(&exported).email.clone();
    let (exporter, address) = (admin.clone(), email.clone());
    let exporting =
        tokio::spawn(async move { while export(&exporter).await.contains(&address) {} });
    erase(&mut testbed, &admin, &exported).await;
    assert!(!export(&admin).await.contains(&email), "an export contains an erased address");
    exporting.await.expect("exports without the erased address");
    testbed.report().await
}

async fn killed_at_each_step() -> RowReport {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("erasures.jsonl");
    let log_setting = log.to_str().expect("text").to_owned();
    let options = StackOptions::default().with("ERASURE_LOG", log_setting);
    let mut testbed = Testbed::start(options).await;
    let admin = Staff::with_role(&testbed.stack, Role::Admin).await;
    for (failpoint, comments, is_recorded) in [
        (Failpoint::BeforeErasureCommit, "", false),
        (Failpoint::AfterErasureCommit, "", true),
        (Failpoint::AfterErasureCommit, "[sim: stuck]", true),
        (Failpoint::AfterErasedFilesDeleted, "", true),
    ] {
        let submission = testbed.submit_with_comments(comments).await;
        let status = if comments.is_empty() { "completed" } else { "processing" };
        testbed.stack.wait_for_status(&submission, status).await;
        wait_for_email(&testbed.stack, &submission, status).await;
        testbed.stack.failpoints.arm(failpoint);
        let erasing = send_erasure(&admin, &submission);
        testbed.kill_api_at(failpoint).await;
        erasing.await.expect("a finished task").expect_err("a broken connection");

        let repeated = erase(&mut testbed, &admin, &submission).await;

        assert_eq!(repeated["changed"], !is_recorded, "{failpoint:?}: {repeated}");
        let receipts = std::fs::read_to_string(&log).expect("an erasure log");
        let signature = repeated["receipt"]["signature"].as_str().expect("a signature");
        assert!(receipts.contains(signature), "{failpoint:?}: the receipt is not in the log");
    }
    testbed.report().await
}

/// Waits until a completed submission's result has been sent, after which its stream has ended.
async fn wait_for_email(stack: &Stack, submission: &AcceptedSubmission, status: &str) {
    if status != "completed" {
        return;
    }
    eventually("the e-mail to be sent", || async {
        let all = stack.store.deliveries(id_of(submission)).await.expect("deliveries");
        all.first().filter(|delivery| delivery.settled_at.is_some()).map(drop)
    })
    .await;
}

fn send_erasure(
    admin: &Staff,
    submission: &AcceptedSubmission,
) -> JoinHandle<reqwest::Result<Response>> {
    let id = &submission.submission_id;
    let call = admin
        .request(reqwest::Method::POST, &format!("/api/admin/submissions/{id}/erase"))
        .json(&json!({"reason": "fault table", "confirm": id}));
    tokio::spawn(call.send())
}

/// Repeats the erasure until it succeeds, and checks that the files' contents are gone.
async fn erase(testbed: &mut Testbed, admin: &Staff, submission: &AcceptedSubmission) -> Value {
    let files = stored_files(testbed, submission);
    let response = eventually("the erasure to succeed", || async {
        let response = send_erasure(admin, submission).await.expect("a finished task").ok()?;
        response.status().is_success().then_some(response)
    })
    .await;
    testbed.record_staff_action(submission, "submission_erase");
    testbed.acknowledged_mut(submission).is_erased = true;
    assert!(files.iter().all(|file| !file.exists()), "{files:?}");
    response.json().await.expect("JSON")
}

fn stored_files(testbed: &mut Testbed, submission: &AcceptedSubmission) -> Vec<PathBuf> {
    let digests = testbed.acknowledged_mut(submission).photos.clone();
    let folder = testbed.stack.files();
    digests.iter().map(|digest| folder.join(&digest[..2]).join(digest)).collect()
}

async fn export(admin: &Staff) -> String {
    let response = admin.get("/api/admin/submissions/export?format=jsonl").await;
    response.text().await.expect("a complete export")
}
