//! The stream of all events, and the end of streams whose session has ended.

use diagflow_store::{ApiKeyId, EndStatus, Role, RunKey, Sha256};
use diagflow_tests::responses::refusal;
use diagflow_tests::{SseEvent, SseStream, Stack, StackOptions, Staff, photos, seeding, staff};
use reqwest::Method;
use std::time::{Duration, Instant};

const PATH: &str = "/api/admin/events";

async fn open(staff: &Staff, last: Option<i64>) -> SseStream {
    let mut call = staff.request(Method::GET, PATH);
    if let Some(last) = last {
        call = call.header("Last-Event-ID", last.to_string());
    }
    let mut stream = SseStream::new(call.send().await.expect("a response"));
    // From here on, new events are received.
    stream.read_until(|text| text.contains("retry:")).await;
    stream
}

fn changes(stream: &SseStream) -> Vec<SseEvent> {
    stream.events().into_iter().filter(|event| event.name == "submission_changed").collect()
}

async fn wait_for_changes(stream: &mut SseStream, count: usize) -> Vec<SseEvent> {
    let steps = |text: &str| text.matches("submission_changed").count();
    stream.read_until(|text| steps(text) >= count && text.ends_with("\n\n")).await;
    changes(stream)
}

async fn time_to_end(mut stream: SseStream) -> Duration {
    let started = Instant::now();
    stream.read_to_end().await;
    started.elapsed()
}

/// Submission, step and status of an event.
fn summary(event: &SseEvent) -> [String; 3] {
    let member = |name: &str| event.data[name].as_str().expect(name).to_owned();
    [member("submission_id"), member("step"), member("status")]
}

fn change(run: RunKey, step: &str, status: &str) -> [String; 3] {
    [run.submission.to_string(), step.to_owned(), status.to_owned()]
}

#[tokio::test]
async fn all_changes_are_streamed_and_a_reconnecting_client_misses_none() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let (replica, elsewhere) = stack.start_replica().await;
    let store = &stack.store;
    seeding::submission(store, "old@example.org", "", None).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let mut stream = open(&operator, None).await;

    let one = seeding::submission(store, "ana@example.org", "", None).await;
    let two = seeding::submission(store, "bo@example.org", "", None).await;
    seeding::end(store, one, EndStatus::Failed, "a").await;
    let events = wait_for_changes(&mut stream, 3).await;
    let received: Vec<_> = events.iter().map(summary).collect();
    let expected = [
        change(one, "received", "pending"),
        change(two, "received", "pending"),
        change(one, "failed", "failed"),
    ];
    assert_eq!(received, expected, "earlier events were sent");
    assert!(events[0].data["at"].is_string());

    drop(stream);
    seeding::complete(store, two).await;
    let entry = seeding::audit_entry(diagflow_store::Action::SubmissionDelete);
    store.delete_submission(one.submission, &entry).await.expect("deleted");
    let missed = [
        change(two, "diagnosing", "processing"),
        change(two, "completed", "completed"),
        change(two, "result_ready", "completed"),
        change(one, "deleted", "failed"),
    ];
    let last = events[2].id;
    for client in [&stack.client, &elsewhere] {
        let there = operator.at_api(client);

        let mut resumed = open(&there, Some(last)).await;
        resumed.read_until(|text| text.contains("\"deleted\"")).await;
        let received = changes(&resumed);
        let missed_events: Vec<_> =
            received.iter().filter(|event| event.id > last).map(summary).collect();
        assert_eq!(missed_events, missed);
    }
    // A row with a lower id that is committed later is delivered after a reconnection.
    let mut resumed_late = open(&operator, Some(last + 4)).await;
    resumed_late.read_until(|text| text.contains(&format!("id: {}\n", last + 3))).await;

    let mut from_future = open(&operator, Some(1_000_000)).await;
    let three = seeding::submission(store, "cy@example.org", "", None).await;
    let received: Vec<_> =
        wait_for_changes(&mut from_future, 1).await.iter().map(summary).collect();
    assert_eq!(received, [change(three, "received", "pending")], "earlier events were sent");
    replica.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn a_client_too_far_behind_must_reload_the_list() {
    /// The documented limit.
    const MOST_MISSED: i64 = 10_000;
    let stack = Stack::api_only(StackOptions::default()).await;
    let store = &stack.store;
    let one = seeding::submission(store, "ana@example.org", "", None).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let newest = async || stack.database.number("SELECT MAX(id) FROM events").await;
    let last = newest().await;
    let digits = "SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 \
                  UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9";
    // With explicit ids: `AUTO_INCREMENT` may leave gaps when a statement reserves ids in blocks.
    let missed = format!(
        "INSERT INTO events (id, submission_id, number, name, step, status, message, created_at) \
         SELECT {last} + 1 + n, '{}', 2 + n, 'status_update', 'mail_sent', 'pending', '', NOW(6) \
         FROM (SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS n \
         FROM ({digits}) a, ({digits}) b, ({digits}) c, ({digits}) e) AS numbers",
        one.submission
    );
    stack.database.execute(&missed).await;
    assert_eq!(newest().await - last, MOST_MISSED);

    let mut at_limit = open(&operator, Some(last)).await;
    let newest_id = format!("id: {}\n", last + MOST_MISSED);
    // Only the last event is parsed, since this runs once per event.
    let has_newest = |text: &str| {
        let last = text.strip_suffix("\n\n").and_then(|text| text.rsplit("\n\n").next());
        last.is_some_and(|event| event.contains(&newest_id))
    };
    at_limit.read_until(has_newest).await;
    let received = changes(&at_limit);
    let received = received.iter().filter(|event| event.id > last).count();
    assert_eq!(received as i64, MOST_MISSED, "some are missing");
    assert!(!at_limit.text().contains("list_changed"));
    drop(at_limit);

    let mut beyond_limit = open(&operator, Some(last - 1)).await;
    let reload = format!("event: list_changed\nid: {}\ndata: {{}}\n\n", last + MOST_MISSED);
    beyond_limit.read_until(|text| text.contains(&reload)).await;
    let two = seeding::submission(store, "bo@example.org", "", None).await;
    // Events that this process has not published yet may be sent twice, but no new event is missing.
    let of_two = two.submission.to_string();
    beyond_limit.read_until(|text| text.contains(&of_two) && text.ends_with("\n\n")).await;
    let received: Vec<_> = changes(&beyond_limit).iter().map(summary).collect();
    assert_eq!(received.last(), Some(&change(two, "received", "pending")));
    stack.stop().await;
}

#[tokio::test]
async fn an_event_committed_out_of_order_is_still_streamed() {
    use diesel_async::SimpleAsyncConnection;
    let stack = Stack::api_only(StackOptions::default()).await;
    let store = &stack.store;
    let one = seeding::submission(store, "ana@example.org", "", None).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let mut stream = open(&operator, None).await;
    let mut slow = stack.database.connect().await;
    let insert = format!(
        "BEGIN; INSERT INTO events (submission_id, number, name, step, status, message, created_at) \
         VALUES ('{}', 77, 'status_update', 'mail_sent', 'pending', '', NOW(6))",
        one.submission
    );
    slow.batch_execute(&insert).await.expect("inserted");
    let two = seeding::submission(store, "bo@example.org", "", None).await;
    let first = wait_for_changes(&mut stream, 1).await;
    assert_eq!(summary(&first[0]), change(two, "received", "pending"));

    slow.batch_execute("COMMIT").await.expect("committed");

    let events = wait_for_changes(&mut stream, 2).await;
    assert_eq!(summary(&events[1]), change(one, "mail_sent", "pending"));
    assert!(events[1].id < events[0].id, "its id is lower");
    stack.stop().await;
}

#[tokio::test]
async fn a_stream_ends_soon_after_its_session_or_permission() {
    const SOON: Duration = Duration::from_secs(10);
    let stack = Stack::api_only(StackOptions::default()).await;
    let run = seeding::submission(&stack.store, "ana@example.org", "", None).await;
    let patients = format!("/api/user/events/{}", run.submission);
    let sessions = "UPDATE sessions SET ended_at = NOW(6) WHERE user_id =";
    let users = "WHERE id =";
    for end in [
        sessions.to_owned(),
        format!("UPDATE users SET disabled_at = NOW(6) {users}"),
        format!("UPDATE users SET role = 'patient' {users}"),
    ] {
        let staff = Staff::with_role(&stack, Role::Operator).await;
        let stream = open(&staff, None).await;
        let response = staff.get(&patients).await;
        assert_eq!(response.status(), 200);
        let submission_stream = SseStream::new(response);
        let other = Staff::with_role(&stack, Role::Operator).await;
        let mut other_stream = open(&other, None).await;

        stack.database.execute(&format!("{end} '{}'", staff.id)).await;

        assert!(time_to_end(stream).await < SOON, "{end}");
        assert!(time_to_end(submission_stream).await < SOON, "{end}");
        seeding::submission(&stack.store, "bo@example.org", "", None).await;
        wait_for_changes(&mut other_stream, 1).await;
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_stream_opened_with_an_api_key_ends_when_the_key_is_revoked() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let (user, _) = staff::create_account(&stack, Role::Service).await;
    let (id, secret) = (ApiKeyId::new(), "a secret of a test");
    let digest = Sha256::of(secret.as_bytes());
    let key = format!(
        "INSERT INTO api_keys (id, user_id, name, secret, created_at) \
         VALUES ('{id}', '{user}', 'test', '{digest}', NOW(6))"
    );
    stack.database.execute(&key).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let program = operator.with_token(format!("dfk_{id}_{secret}"));
    let stream = open(&program, None).await;

    stack
        .database
        .execute(&format!("UPDATE api_keys SET revoked_at = NOW(6) WHERE id = '{id}'"))
        .await;

    time_to_end(stream).await;
    let resumed = program.get(PATH).await;
    assert_eq!(refusal(resumed).await, (401, "api_key_invalid".to_owned()));
    let patient = Staff::with_role(&stack, Role::Patient).await;
    assert_eq!(refusal(patient.get(PATH).await).await, (403, "forbidden".to_owned()));
    let submission = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    let own_token = operator.with_token(submission.access_token);
    assert_eq!(refusal(own_token.get(PATH).await).await, (401, "token_invalid".to_owned()));
    stack.stop().await;
}
