//! The rows on staff actions at critical moments.

use crate::AcceptedSubmission;
use crate::eventually;
use crate::faults::acknowledged::ExpectedEnd;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::{StackOptions, id_of};
use crate::staff::Staff;
use diagflow_store::{Failpoint, Role};
use serde_json::{Value, json};

async fn send_action(staff: &Staff, action: &str, submission: &AcceptedSubmission) -> (u16, Value) {
    let path = format!("/api/admin/submissions/{}/{action}", submission.submission_id);
    let response = staff.post(&path, &json!({"reason": "fault table"})).await;
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

/// Staff cancel submissions just before and just after the result is stored, with two simultaneous requests, and while
/// LoopAI is unavailable.
pub(crate) async fn cancels() -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    let staff = Staff::with_role(&testbed.stack, Role::Operator).await;

    // LoopAI has returned this submission's result, but it has not been stored yet.
    testbed.stack.failpoints.arm(Failpoint::AfterPollAnswered);
    let early = testbed.submit().await;
    testbed.stack.failpoints.wait_until_reached(Failpoint::AfterPollAnswered).await;
    let (code, body) = send_action(&staff, "cancel", &early).await;
    assert_eq!(code, 202, "{body}");
    testbed.record_staff_action(&early, "submission_cancel");
    testbed.allow_ends(&early, &[ExpectedEnd::COMPLETED]);
    testbed.stack.failpoints.release(Failpoint::AfterPollAnswered);

    // This submission's result has been stored, but the activity has not completed yet.
    testbed.stack.failpoints.arm(Failpoint::AfterPollRecorded);
    let late = testbed.submit().await;
    testbed.stack.wait_for_status(&late, "completed").await;
    let (code, body) = send_action(&staff, "cancel", &late).await;
    assert_eq!((code, &body["error"]["code"]), (409, &json!("already_final")), "{body}");
    testbed.stack.failpoints.release(Failpoint::AfterPollRecorded);

    let twice = testbed.submit_with_comments("[sim: stuck]").await;
    testbed.stack.wait_for_status(&twice, "processing").await;
    let responses =
        tokio::join!(send_action(&staff, "cancel", &twice), send_action(&staff, "cancel", &twice));
    assert_eq!((responses.0.0, responses.1.0), (202, 202), "{responses:?}");
    testbed.record_staff_action(&twice, "submission_cancel");
    testbed.record_staff_action(&twice, "submission_cancel");
    testbed.allow_ends(&twice, &[ExpectedEnd::CANCELLED]);

    // LoopAI has failed several times for this submission, and the run is about to retry.
    let down = testbed.submit_with_comments("[sim: diagnose=500]").await;
    testbed.allow_ends(&down, &[ExpectedEnd::CANCELLED]);
    eventually("another request to LoopAI", || async {
        let requests = testbed.stack.loopai.requests();
        let refused = requests.iter().filter(|one| one.status == Some(500)).count();
        (refused >= 2).then_some(())
    })
    .await;
    let (code, body) = send_action(&staff, "cancel", &down).await;
    assert_eq!(code, 202, "{body}");
    testbed.record_staff_action(&down, "submission_cancel");
    testbed.stack.wait_for_status(&down, "cancelled").await;
    testbed.report().await
}

/// Two simultaneous retries of a submission start a single run. Retrying a running submission has no effect.
pub(crate) async fn retries() -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    let staff = Staff::with_role(&testbed.stack, Role::Operator).await;
    let submission = testbed.submit_with_comments("[sim: stuck*1, delay=100ms]").await;
    testbed
        .allow_ends(&submission, &[ExpectedEnd::failed("loopai_failed"), ExpectedEnd::COMPLETED]);
    testbed.stack.wait_for_status(&submission, "processing").await;
    let (code, body) = send_action(&staff, "retry", &submission).await;
    assert_eq!((code, &body["outcome"]), (200, &json!("in_progress")), "{body}");
    testbed.record_staff_action(&submission, "submission_retry");

    let execution = &testbed.stack.loopai.executions()[0].execution_id;
    testbed.stack.loopai.fail(execution, "failed by the test").expect("an execution in progress");
    testbed.stack.wait_for_status(&submission, "failed").await;
    let responses = tokio::join!(
        send_action(&staff, "retry", &submission),
        send_action(&staff, "retry", &submission)
    );
    let mut codes = [responses.0.0, responses.1.0];
    codes.sort_unstable();
    assert_eq!(codes, [200, 202], "{responses:?}");
    testbed.record_staff_action(&submission, "submission_retry");
    testbed.record_staff_action(&submission, "submission_retry");

    testbed.stack.wait_for_status(&submission, "completed").await;
    let runs = testbed.stack.store.runs(id_of(&submission)).await.expect("runs");
    assert_eq!(runs.len(), 2, "{runs:?}");
    testbed.report().await
}
