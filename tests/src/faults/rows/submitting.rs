//! Between a patient and the records.

use crate::faults::report::Report;
use crate::faults::world::World;
use crate::stack::StackOptions;
use diagflow_store::Failpoint;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;

/// The client sees its connection break, nothing half-made remains, and a repeat is a new submission.
pub(crate) async fn killed_before_the_commit() -> Report {
    // How long the dead process's claim on the key holds up the repeat.
    let options = StackOptions::default().with("IDEMPOTENCY_LEASE_SECONDS", "3");
    let mut world = World::start(options).await;
    let email = world.patient();
    world.stack.failpoints.arm(Failpoint::SubmissionUncommitted);
    let sending = world.send(&email, Some("before-the-commit"));
    world.api_dies_at(Failpoint::SubmissionUncommitted).await;

    sending.await.expect("ran").expect_err("its connection broke");
    for table in ["submissions", "files", "runs", "events", "deliveries"] {
        assert_eq!(world.stack.database.rows(table).await, 0, "{table}");
    }
    repeat_until_accepted(&mut world, &email, "before-the-commit").await;
    assert_eq!(world.stack.database.rows("submissions").await, 1);
    world.report().await
}

/// What was committed is answered to the repeat with the same key, and is started by the sweeper.
pub(crate) async fn killed_before_the_answer() -> Report {
    let mut world = World::start(StackOptions::default()).await;
    let email = world.patient();
    world.stack.failpoints.arm(Failpoint::SubmissionStored);
    let sending = world.send(&email, Some("before-the-answer"));
    world.api_dies_at(Failpoint::SubmissionStored).await;

    sending.await.expect("ran").expect_err("its connection broke");
    repeat_until_accepted(&mut world, &email, "before-the-answer").await;
    assert_eq!(world.stack.database.rows("submissions").await, 1, "nothing is stored twice");
    world.report().await
}

/// As a client does that honours `Retry-After`: a claim that a dead process left ends by itself.
async fn repeat_until_accepted(world: &mut World, email: &str, key: &str) {
    let answer = crate::eventually("the repeat to be accepted", || async {
        let answer = world.send(email, Some(key)).await.expect("ran").ok()?;
        (answer.status() != StatusCode::CONFLICT).then_some(answer)
    })
    .await;
    world.acknowledge_sent(answer, email).await;
}

/// Fifty requests with one key are one submission, and another body is refused; after the key has expired,
/// the same request is a new submission.
pub(crate) async fn one_key() -> Report {
    fifty_with_one_key().await.and(an_expired_key().await)
}

async fn fifty_with_one_key() -> Report {
    let mut world = World::start(StackOptions::default()).await;
    let email = world.patient();
    let answers = join_all((0..50).map(|_| world.send(&email, Some("one-key")))).await;
    let mut accepted = 0;
    for answer in answers {
        let answer = answer.expect("ran").expect("an answer");
        match answer.status() {
            StatusCode::ACCEPTED => {
                world.acknowledge_sent(answer, &email).await;
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
    assert_eq!(world.stack.database.rows("submissions").await, 1, "fifty are one");

    let other = world.patient();
    let refused = world.send(&other, Some("one-key")).await.expect("ran").expect("an answer");
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let refusal: Value = refused.json().await.expect("JSON");
    assert_eq!(refusal["error"]["code"], "idempotency_key_reused", "{refusal}");
    world.report().await
}

async fn an_expired_key() -> Report {
    let options = StackOptions::default().with("IDEMPOTENCY_LIFETIME_SECONDS", "2");
    let mut world = World::start(options).await;
    let email = world.patient();
    let repeat = async |world: &mut World| {
        let answer = world.send(&email, Some("a-key")).await.expect("ran").expect("an answer");
        world.acknowledge_sent(answer, &email).await.submission_id
    };
    let first = repeat(&mut world).await;
    let begun = std::time::Instant::now();
    while repeat(&mut world).await == first {
        assert!(begun.elapsed() < crate::eventually::LIMIT, "the key does not expire");
    }
    world.report().await
}
