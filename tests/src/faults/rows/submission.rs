//! Between a patient and the records.

use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::StackOptions;
use diagflow_store::Failpoint;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;

/// The client sees its connection break, nothing half-made remains, and a repeat is a new submission.
pub(crate) async fn killed_before_the_commit() -> RowReport {
    // How long the dead process's claim on the key holds up the repeat.
    let options = StackOptions::default().with("IDEMPOTENCY_LEASE_SECONDS", "3");
    let mut testbed = Testbed::start(options).await;
    let email = testbed.new_patient();
    testbed.stack.failpoints.arm(Failpoint::BeforeSubmissionCommit);
    let sending = testbed.send(&email, Some("before-the-commit"));
    testbed.kill_api_at(Failpoint::BeforeSubmissionCommit).await;

    sending.await.expect("ran").expect_err("its connection broke");
    for table in ["submissions", "files", "runs", "events", "deliveries"] {
        assert_eq!(testbed.stack.database.count_rows(table).await, 0, "{table}");
    }
    repeat_until_accepted(&mut testbed, &email, "before-the-commit").await;
    assert_eq!(testbed.stack.database.count_rows("submissions").await, 1);
    testbed.report().await
}

/// What was committed is answered to the repeat with the same key, and is started by the sweeper.
pub(crate) async fn killed_before_the_answer() -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    let email = testbed.new_patient();
    testbed.stack.failpoints.arm(Failpoint::AfterSubmissionCommit);
    let sending = testbed.send(&email, Some("before-the-answer"));
    testbed.kill_api_at(Failpoint::AfterSubmissionCommit).await;

    sending.await.expect("ran").expect_err("its connection broke");
    repeat_until_accepted(&mut testbed, &email, "before-the-answer").await;
    assert_eq!(
        testbed.stack.database.count_rows("submissions").await,
        1,
        "nothing is stored twice"
    );
    testbed.report().await
}

/// As a client does that honours `Retry-After`: a claim that a dead process left ends by itself.
async fn repeat_until_accepted(testbed: &mut Testbed, email: &str, key: &str) {
    let answer = crate::eventually("the repeat to be accepted", || async {
        let answer = testbed.send(email, Some(key)).await.expect("ran").ok()?;
        (answer.status() != StatusCode::CONFLICT).then_some(answer)
    })
    .await;
    testbed.record_sent(answer, email).await;
}

/// Fifty requests with one key are one submission, and another body is refused; after the key has expired,
/// the same request is a new submission.
pub(crate) async fn one_key() -> RowReport {
    fifty_with_one_key().await.merge(expired_key().await)
}

async fn fifty_with_one_key() -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    let email = testbed.new_patient();
    let answers = join_all((0..50).map(|_| testbed.send(&email, Some("one-key")))).await;
    let mut accepted = 0;
    for answer in answers {
        let answer = answer.expect("ran").expect("an answer");
        match answer.status() {
            StatusCode::ACCEPTED => {
                testbed.record_sent(answer, &email).await;
                accepted += 1;
            }
            // Another one is at it, or so many wait for a connection that these had better come again.
            StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE => {
                assert!(answer.headers().contains_key("retry-after"));
            }
            other => panic!("{other}: {:?}", answer.text().await),
        }
    }
    assert!(accepted > 0, "somebody is let in");
    assert_eq!(testbed.stack.database.count_rows("submissions").await, 1, "fifty are one");

    let other = testbed.new_patient();
    let refused = testbed.send(&other, Some("one-key")).await.expect("ran").expect("an answer");
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
        let answer = testbed.send(&email, Some("a-key")).await.expect("ran").expect("an answer");
        testbed.record_sent(answer, &email).await.submission_id
    };
    let first = repeat(&mut testbed).await;
    let started = std::time::Instant::now();
    while repeat(&mut testbed).await == first {
        assert!(started.elapsed() < crate::eventually::LIMIT, "the key does not expire");
    }
    testbed.report().await
}
