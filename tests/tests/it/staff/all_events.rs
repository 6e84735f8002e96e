//! Tests of the staff stream, which contains the events of all submissions, and of streams that end with their session.

use crate::stream::assert_each_block_has_data;
use diagflow_store::{ApiKeyId, EndStatus, Role, RunKey, Sha256};
use diagflow_tests::responses::{header, refusal};
use diagflow_tests::{
    SseEvent, SseStream, Stack, StackOptions, Staff, eventually, photos, seeding, staff,
};
use reqwest::Method;
use std::time::{Duration, Instant};

const PATH: &str = "/api/admin/events";

async fn open(staff: &Staff, last: Option<i64>) -> SseStream {
    let mut call = staff.request(Method::GET, PATH);
    if let Some(last) = last {
        call = call.header("Last-Event-ID", last.to_string());
    }
    let mut stream = SseStream::new(call.send().await.expect("a response"));
    // Once a stream has sent its first line, it receives all new events.
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

/// Returns the submission id, the step and the status of an event.
fn summary(event: &SseEvent) -> [String; 3] {
    let member = |name: &str| event.data[name].as_str().expect(name).to_owned();
    [member("submission_id"), member("step"), member("status")]
}

fn change(run: RunKey, step: &str, status: &str) -> [String; 3] {
    [run.submission.to_string(), step.to_owned(), status.to_owned()]
}

#[tokio::test]
async fn an_account_has_a_limited_number_of_streams() {
    let stack = Stack::api_only(StackOptions::default().with("MAX_STREAMS_PER_ACCOUNT", "2")).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let again = operator.sign_in_again(&stack).await;
    let open_streams = (open(&operator, None).await, open(&again, None).await);

    let refused = operator.get(PATH).await;
    assert_eq!(header(&refused, "retry-after"), "30");
    assert_eq!(refusal(refused).await, (429, "too_many_streams".to_owned()));
    let call = operator.request(Method::GET, PATH).header("Accept", "text/event-stream");
    let response = call.send().await.expect("a response");
    assert_eq!(response.status(), 200, "an `EventSource` never reconnects after a 429");
    let text = response.text().await.expect("a stream that ends");
    assert_eq!(text, "retry: 30000\n: too many requests\n");
    open(&Staff::with_role(&stack, Role::Operator).await, None).await;

    drop(open_streams);
    // This times out if the API does not notice that the streams have been closed.
    eventually("a stream to become available", || async {
        (operator.get(PATH).await.status() == 200).then_some(())
    })
    .await;
    stack.stop().await;
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
    assert_eq!(received, expected, "the stream contains events from before it was opened");
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
    // An event that is committed late, with a lower id than events that were already sent, is sent after the client
    // reconnects.
    let mut resumed_late = open(&operator, Some(last + 4)).await;
    resumed_late.read_until(|text| text.contains(&format!("id: {}\n", last + 3))).await;

    let mut from_future = open(&operator, Some(1_000_000)).await;
    let three = seeding::submission(store, "cy@example.org", "", None).await;
    let received: Vec<_> =
        wait_for_changes(&mut from_future, 1).await.iter().map(summary).collect();
    assert_eq!(
        received,
        [change(three, "received", "pending")],
        "the stream contains events from before it was opened"
    );
    replica.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn every_block_of_the_stream_has_data() {
    let options = StackOptions::default().with("EVENTS_HEARTBEAT_SECONDS", "0.05");
    let stack = Stack::api_only(options).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let mut stream = open(&operator, None).await;
    for count in 1..=3 {
        let received = stream.text().len();
        stream.read_until(|text| text[received..].contains(":\n")).await;
        seeding::submission(&stack.store, "ana@example.org", "", None).await;
        stream.read_until(|text| text.matches("\n\n").count() == count).await;
    }
    assert_each_block_has_data(&stream);

    let missed = changes(&stream)[0].id;
    let mut resumed = open(&operator, Some(missed)).await;
    resumed.read_until(|text| text.contains("\n\n")).await;
    assert_each_block_has_data(&resumed);
    stack.stop().await;
}

#[tokio::test]
async fn a_client_too_far_behind_must_reload_the_list() {
    /// The documented limit on missed events.
    const MOST_MISSED: i64 = 10_000;
    let stack = Stack::api_only(StackOptions::default()).await;
    let store = &stack.store;
    let one = seeding::submission(store, "ana@example.org", "", None).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let newest = async || stack.database.number("SELECT MAX(id) FROM events").await;
    let last = newest().await;
    let digits = "SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 \
                  UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9";
    // The SQL statement sets the event ids explicitly because `AUTO_INCREMENT` may leave gaps when it reserves ids in
    // blocks.
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
    // The closure runs once per event, so it only needs to examine the last one.
    let has_newest = |text: &str| {
        let last = text.strip_suffix("\n\n").and_then(|text| text.rsplit("\n\n").next());
        last.is_some_and(|event| event.contains(&newest_id))
    };
    at_limit.read_until(has_newest).await;
    let received = changes(&at_limit);
    let received = received.iter().filter(|event| event.id > last).count();
    assert_eq!(received as i64, MOST_MISSED, "the stream does not contain all missed events");
    assert!(!at_limit.text().contains("list_changed"));
    drop(at_limit);

    let mut beyond_limit = open(&operator, Some(last - 1)).await;
    let reload = format!("event: list_changed\nid: {}\ndata: {{}}\n\n", last + MOST_MISSED);
    beyond_limit.read_until(|text| text.contains(&reload)).await;
    assert_each_block_has_data(&beyond_limit);
    let two = seeding::submission(store, "bo@example.org", "", None).await;
    // The stream may repeat events that the API had not published yet, but it must contain every new event.
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
    assert!(
        events[1].id < events[0].id,
        "the late event must have a lower id than the event committed before it"
    );
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

#[tokio::test]
async fn a_stream_opened_during_a_slow_query_checks_the_permission_once() {
    use diesel_async::SimpleAsyncConnection;
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let patient = Staff::with_role(&stack, Role::Patient).await;
    let mut lock = stack.database.connect().await;
    lock.batch_execute("LOCK TABLES sessions WRITE").await.expect("locked");
    let response = patient.get(PATH).await;
    assert_eq!(response.status(), 200, "an `EventSource` never reconnects after an error");

    lock.batch_execute("UNLOCK TABLES").await.expect("unlocked");

    SseStream::new(response).read_to_end().await;
    let entries = admin.audit("action=access").await;
    let results: Vec<_> = entries.iter().map(|entry| &entry["result"]).collect();
    assert_eq!(results, ["forbidden"]);
    stack.stop().await;
}
