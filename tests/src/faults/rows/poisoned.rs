//! The row for submissions that LoopAI can never process.

use crate::AcceptedSubmission;
use crate::eventually::{self, LIMIT, eventually};
use crate::faults::acknowledged::ExpectedEnd;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::StackOptions;
use crate::staff::Staff;
use chrono::{DateTime, TimeDelta, Utc};
use diagflow_store::{BreakerState, Role};
use serde_json::json;

const HEALTHY: usize = 50;
/// Maximum time between a healthy submission's arrival and its request to LoopAI.
const MAX_WAIT: TimeDelta = TimeDelta::seconds(30);

/// LoopAI responds with 500 to every request for ten and then for fifty submissions, while accepting fifty others.
pub(crate) async fn among_healthy_submissions() -> RowReport {
    among(10).await.merge(among(50).await)
}

async fn among(poisoned: usize) -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    let staff = Staff::with_role(&testbed.stack, Role::Operator).await;
    let mut failing = Vec::new();
    for _ in 0..poisoned {
        failing.push(testbed.submit_with_comments("[sim: diagnose=500]").await);
    }
    // This is the worst order: when the healthy submissions arrive, no request has succeeded yet.
    eventually("the circuit breaker to open", || async {
        let breaker = testbed.stack.store.loopai_usage().await.ok()?.breaker;
        (breaker == BreakerState::Open).then_some(())
    })
    .await;

    let mut healthy = Vec::new();
    for _ in 0..HEALTHY {
        let arrived_at = Utc::now();
        healthy.push((arrived_at, testbed.submit().await));
    }
    eventually::within(3 * LIMIT, "a request for each healthy submission", || async {
        let is_requested = |(_, one): &(_, _)| first_request(&testbed, one).is_some();
        healthy.iter().all(is_requested).then_some(())
    })
    .await;
    for (arrived_at, submission) in &healthy {
        let waited = first_request(&testbed, submission).expect("a request") - *arrived_at;
        assert!(waited <= MAX_WAIT, "a healthy submission waited {waited} for its request");
    }
    cancel(&mut testbed, &staff, &failing).await;
    testbed.report().await
}

/// Returns the time of the first request for a submission, according to LoopAI's log.
fn first_request(testbed: &Testbed, submission: &AcceptedSubmission) -> Option<DateTime<Utc>> {
    let key = format!("{}-1", submission.submission_id);
    let requests = testbed.stack.loopai.requests();
    let first = requests.iter().find(|it| it.headers.get("idempotency-key") == Some(&key));
    first.map(|request| request.at)
}

/// Staff cancel the submissions because no request for them can succeed.
async fn cancel(testbed: &mut Testbed, staff: &Staff, submissions: &[AcceptedSubmission]) {
    for submission in submissions {
        testbed.allow_ends(submission, &[ExpectedEnd::CANCELLED]);
        let path = format!("/api/admin/submissions/{}/cancel", submission.submission_id);
        let response = staff.post(&path, &json!({"reason": "fault table"})).await;
        assert_eq!(response.status(), 202);
        testbed.record_staff_action(submission, "submission_cancel");
    }
}
