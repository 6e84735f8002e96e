//! Tests of event streams that are opened while the database is unavailable.

use super::{ALL_EVENTS, RETRY_HINT, assert_each_block_has_data, numbers, open, submit};
use diagflow_store::Role;
use diagflow_tests::{AcceptedSubmission, Proxy, SseStream, Stack, StackOptions, Staff};
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

/// Starts a stack whose API reaches the database through the returned proxy. Its worker connects to the database
/// directly.
async fn behind_proxy() -> (Stack, Proxy) {
    let options = StackOptions::default()
        .with("DATABASE_POOL_TIMEOUT_SECONDS", "1")
        .with("EVENTS_HEARTBEAT_SECONDS", "0.2");
    let mut stack = Stack::without_processes(options).await;
    let direct = stack.database.url();
    let (proxy, url) = stack.database.via_proxy().await;
    stack.set("DATABASE_URL", url);
    stack.start_api().await;
    stack.set("DATABASE_URL", direct);
    (stack, proxy)
}

async fn open_after(stack: &Stack, submission: &AcceptedSubmission, last: &str) -> SseStream {
    let response = stack.client.open_events(submission, Some(last)).await;
    SseStream::new(response.expect("a response"))
}

#[tokio::test]
async fn a_stream_opened_during_an_outage_waits_and_then_sends_all_events() {
    let (mut stack, database) = behind_proxy().await;
    let submission = submit(&stack).await;
    for break_connections in [Proxy::cut, Proxy::stall] {
        break_connections(&database);

        let mut streams = vec![open(&stack.client, &submission).await];
        streams.push(open_after(&stack, &submission, "1").await);
        for stream in &mut streams {
            stream.read_until(|text| text.contains(":\n")).await;
            assert!(stream.text().starts_with(RETRY_HINT), "{}", stream.text());
            assert_eq!(
                stream.blocks(),
                [""],
                "the stream sent a complete block during the outage: {}",
                stream.text()
            );
        }
        database.restore();

        // The worker starts after the first outage and ends the submission before the second.
        if stack.worker.is_none() {
            streams[0].read_until(|text| text.contains("id: 1\n")).await;
            stack.start_worker().await;
        }
        join_all(streams.iter_mut().map(SseStream::read_to_end)).await;
        assert_eq!(numbers(&streams[0].events()), ALL_EVENTS);
        assert_eq!(numbers(&streams[1].events()), ALL_EVENTS[1..]);
        streams.iter().for_each(assert_each_block_has_data);
    }
    stack.stop().await;
}

#[tokio::test]
async fn after_a_database_outage_a_new_request_shows_that_no_events_follow() {
    let (mut stack, database) = behind_proxy().await;
    stack.start_worker().await;
    let (complete, deleted) = (submit(&stack).await, submit(&stack).await);
    for submission in [&complete, &deleted] {
        stack.wait_for_status(submission, "completed").await;
    }
    let delete = format!(
        "UPDATE submissions SET deleted_at = NOW(6) WHERE id = '{}'",
        deleted.submission_id
    );
    stack.database.execute(&delete).await;
    database.cut();
    let mut streams = Vec::new();
    for (submission, last) in [(&complete, "4"), (&deleted, "0")] {
        streams.push(open_after(&stack, submission, last).await);
    }

    database.restore();

    for stream in &mut streams {
        stream.read_to_end().await;
        assert!(stream.events().is_empty(), "{}", stream.text());
    }
    let status = async |submission, last| {
        let response = stack.client.open_events(submission, Some(last)).await;
        response.expect("a response").status()
    };
    assert_eq!(status(&complete, "4").await, StatusCode::NO_CONTENT);
    assert_eq!(status(&deleted, "0").await, StatusCode::NOT_FOUND);
    stack.stop().await;
}

#[tokio::test]
async fn a_stream_opened_by_an_account_during_an_outage_is_authorized_afterwards() {
    let (mut stack, database) = behind_proxy().await;
    stack.start_worker().await;
    let submission = submit(&stack).await;
    stack.wait_for_status(&submission, "completed").await;
    let own = format!("/api/user/events/{}", submission.submission_id);
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let (signed_out, stranger) = (
        Staff::with_role(&stack, Role::Operator).await,
        Staff::with_role(&stack, Role::Patient).await,
    );
    let logout = signed_out.post("/api/v1/auth/logout", &json!({})).await;
    assert_eq!(logout.status(), StatusCode::NO_CONTENT);
    for break_connections in [Proxy::cut, Proxy::stall] {
        break_connections(&database);
        let mut streams = Vec::new();
        for staff in [&operator, &signed_out, &stranger] {
            for path in [own.as_str(), "/api/admin/events"] {
                let mut stream = SseStream::new(staff.get(path).await);
                stream.read_until(|text| text.contains(":\n")).await;
                assert!(!stream.text().contains("data"), "{}", stream.text());
                streams.push(stream);
            }
        }
        let [of_operator, all_of_operator, denied @ ..] = streams.as_mut_slice() else {
            panic!("six streams");
        };

        database.restore();

        of_operator.read_to_end().await;
        assert_eq!(numbers(&of_operator.events()), ALL_EVENTS);
        all_of_operator.read_until(|text| text.contains(RETRY_HINT)).await;
        for stream in denied {
            stream.read_to_end().await;
            assert!(!stream.text().contains("data"), "{}", stream.text());
        }
    }
    assert_eq!(stack.audit_verify_error().await, None);
    stack.stop().await;
}
