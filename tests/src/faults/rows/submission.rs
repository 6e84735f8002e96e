//! The rows for faults that occur between a patient's request and the database.

use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::StackOptions;
use diagflow_store::Failpoint;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;

/// The API is killed before the commit. The client loses its connection, no submission is stored, and a retry creates a
/// new one.
pub(crate) async fn killed_before_the_commit() -> RowReport {
    // The retry must wait until the killed process's lease on the key expires.
    let options = StackOptions::default().with("IDEMPOTENCY_LEASE_SECONDS", "3");
    let mut testbed = Testbed::start(options).await;
    let email = testbed.new_patient();
    testbed.stack.failpoints.arm(Failpoint::BeforeSubmissionCommit);
    let sending = testbed.send(&email, Some("before-the-commit"));
    testbed.kill_api_at(Failpoint::BeforeSubmissionCommit).await;

    sending.await.expect("a finished task").expect_err("a broken connection");
    for table in ["submissions", "files", "runs", "events", "deliveries"] {
        assert_eq!(testbed.stack.database.count_rows(table).await, 0, "{table}");
    }
    repeat_until_accepted(&mut testbed, &email, "before-the-commit").await;
    assert_eq!(testbed.stack.database.count_rows("submissions").await, 1);
    testbed.report().await
}

/// The API is killed after the commit. A retry with the same key returns the committed submission, and the sweeper
/// starts its run.
pub(crate) async fn killed_before_the_response() -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    let email = testbed.new_patient();
    testbed.stack.failpoints.arm(Failpoint::AfterSubmissionCommit);
    let sending = testbed.send(&email, Some("before-the-response"));
    testbed.kill_api_at(Failpoint::AfterSubmissionCommit).await;

    sending.await.expect("a finished task").expect_err("a broken connection");
    repeat_until_accepted(&mut testbed, &email, "before-the-response").await;
    assert_eq!(testbed.stack.database.count_rows("submissions").await, 1, "stored once");
    testbed.report().await
}

/// Repeats the request until the killed process's lease has expired.
async fn repeat_until_accepted(testbed: &mut Testbed, email: &str, key: &str) {
    let response = crate::eventually("the retry to be accepted", || async {
        let response = testbed.send(email, Some(key)).await.expect("a finished task").ok()?;
        (response.status() != StatusCode::CONFLICT).then_some(response)
    })
    .await;
    testbed.record_sent(response, email).await;
}

/// Fifty requests with the same key create a single submission, and a request with the same key but a different body is
/// rejected. Once the key has expired, the same request creates a new submission.
pub(crate) async fn one_key() -> RowReport {
    fifty_with_one_key().await.merge(expired_key().await)
}

async fn fifty_with_one_key() -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    let email = testbed.new_patient();
    let responses = join_all((0..50).map(|_| testbed.send(&email, Some("one-key")))).await;
    let mut accepted = 0;
    for response in responses {
        let response = response.expect("a finished task").expect("a response");
        match response.status() {
            StatusCode::ACCEPTED => {
                testbed.record_sent(response, &email).await;
                accepted += 1;
            }
            // The request failed because another request holds the key or because no database connection was free.
            StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE => {
                assert!(response.headers().contains_key("retry-after"));
            }
            other => panic!("{other}: {:?}", response.text().await),
        }
    }
    assert!(accepted > 0, "a request is accepted");
    assert_eq!(
        testbed.stack.database.count_rows("submissions").await,
        1,
        "one submission for fifty requests"
    );

    let other = testbed.new_patient();
    let refused =
        testbed.send(&other, Some("one-key")).await.expect("a finished task").expect("a response");
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let refusal: Value = refused.json().await.expect("JSON");
    assert_eq!(refusal["error"]["code"], "idempotency_key_reused", "{refusal}");
    testbed.report().await
}

async fn expired_key() -> RowReport {
    let options = StackOptions::default().with("IDEMPOTENCY_LIFETIME_SECONDS", "2");
    let mut testbed = Testbed::start(options).await;
    let email = testbed.new_patient();
    let repeat = async |testbed: &mut Testbed| {
        let response = testbed
            .send(&email, Some("a-key"))
            .await
            .expect("a finished task")
            .expect("a response");
        testbed.record_sent(response, &email).await.submission_id
    };
    let first = repeat(&mut testbed).await;
    let started = std::time::Instant::now();
    while repeat(&mut testbed).await == first {
        assert!(started.elapsed() < crate::eventually::LIMIT, "the key does not expire");
    }
    testbed.report().await
}
