//! Tests of a submission's event stream. A client can resume the stream after any event, on any replica, and after an
//! API restart.

mod database_outage;
mod result_email;

use diagflow_tests::client::expect_accepted;
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::stack::id_of;
use diagflow_tests::{
    AcceptedSubmission, ApiClient, SseEvent, SseStream, Stack, StackOptions, eventually, photos,
};
use futures::StreamExt;
use futures::future::{join, join_all};
use reqwest::{Response, StatusCode};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// The numbers of a completed submission's events: `received`, `diagnosing`, `completed` and `result_ready`.
const ALL_EVENTS: [i64; 4] = [1, 2, 3, 4];
/// The first line of an event stream, which sets the reconnection delay of browsers.
const RETRY_HINT: &str = "retry: 2000\n";

/// Options for a diagnosis that does not end until the test ends it.
fn stuck() -> StackOptions {
    StackOptions::default().scenario("stuck")
}

async fn submit(stack: &Stack) -> AcceptedSubmission {
    stack.client.submit("ana@example.org", "", &[photos::retina()]).await
}

/// Completes the diagnosis once LoopAI has started it.
async fn complete(stack: &Stack) {
    let started = |all: &[_]| all.first().map(|one: &Execution| one.execution_id.clone());
    let execution = stack.loopai.wait_for(started, LIMIT).await.expect("an execution");
    stack.loopai.complete(&execution).expect("in progress");
}

type Execution = diagflow_simulators::loopai::ExecutionRecord;

async fn events_of(
    client: &ApiClient,
    submission: &AcceptedSubmission,
    after: Option<i64>,
) -> Vec<SseEvent> {
    client.events(submission, after).await.collect().await
}

fn numbers(events: &[SseEvent]) -> Vec<i64> {
    events.iter().map(|event| event.id).collect()
}

async fn open(client: &ApiClient, submission: &AcceptedSubmission) -> SseStream {
    SseStream::new(client.open_events(submission, None).await.expect("a response"))
}

/// Reads `count` events, disconnects, and reconnects.
async fn cut_off_after(
    count: usize,
    client: &ApiClient,
    submission: &AcceptedSubmission,
) -> Vec<SseEvent> {
    let mut events: Vec<_> = client.events(submission, None).await.take(count).collect().await;
    let last = events.last().map(|event| event.id);
    events.extend(events_of(client, submission, last).await);
    events
}

#[tokio::test]
async fn an_interrupted_stream_resumes_without_gaps_or_repeats() {
    let stack = Stack::with(stuck()).await;
    let submission = submit(&stack).await;

    let counts = 0..=ALL_EVENTS.len();
    let listeners = counts.map(|count| cut_off_after(count, &stack.client, &submission));
    let (live, ()) = join(join_all(listeners), complete(&stack)).await;

    let complete_list = events_of(&stack.client, &submission, None).await;
    assert_eq!(numbers(&complete_list), ALL_EVENTS);
    for (count, events) in live.iter().enumerate() {
        assert_eq!(
            *events, complete_list,
            "disconnected after {count} events and resumed during the run"
        );
        let afterwards = cut_off_after(count, &stack.client, &submission).await;
        assert_eq!(
            afterwards, complete_list,
            "disconnected after {count} events and resumed after the run"
        );
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_client_with_all_events_gets_204_and_stops_reconnecting() {
    let stack = Stack::start().await;
    let submission = submit(&stack).await;
    stack.wait_for_status(&submission, "completed").await;

    let status_after = async |number: &str| {
        let response = stack.client.open_events(&submission, Some(number)).await;
        response.expect("a response").status()
    };
    assert_eq!(status_after("3").await, StatusCode::OK);
    assert_eq!(status_after("4").await, StatusCode::NO_CONTENT);
    // The response stays the same after the e-mail's event follows the final event.
    eventually("the e-mail's event to be stored", || async {
        let events = stack.store.events(id_of(&submission), 4).await.expect("events");
        events.first().map(|event| assert_eq!(event.step.name(), "mail_sent"))
    })
    .await;
    assert_eq!(status_after("4").await, StatusCode::NO_CONTENT);
    assert_eq!(status_after("5").await, StatusCode::NO_CONTENT);
    stack.stop().await;
}

#[tokio::test]
async fn a_stream_resumes_on_another_replica() {
    let stack = Stack::with(stuck()).await;
    let (replica, other) = stack.start_replica().await;
    let submission = submit(&stack).await;

    let mut events: Vec<_> = stack.client.events(&submission, None).await.take(2).collect().await;
    let resumed = events_of(&other, &submission, Some(2));
    let (rest, ()) = join(resumed, complete(&stack)).await;
    events.extend(rest);

    assert_eq!(numbers(&events), ALL_EVENTS);
    assert_eq!(events, events_of(&stack.client, &submission, None).await);
    replica.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn all_listeners_get_the_same_events_on_every_replica() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    let (replica, other) = stack.start_replica().await;
    let submission = submit(&stack).await;

    let mut streams = Vec::new();
    for client in [&stack.client, &stack.client, &other] {
        let mut events = client.events(&submission, None).await;
        let first = events.next().await.expect("the first event");
        assert_eq!((first.id, &first.data["status"]), (1, &"pending".into()));
        streams.push(events);
    }
    // The worker starts only now so that all streams are open when it writes the remaining events.
    stack.start_worker().await;
    let received = join_all(streams.into_iter().map(StreamExt::collect::<Vec<_>>)).await;

    assert_eq!(numbers(&received[0]), ALL_EVENTS[1..]);
    assert_eq!(received[1], received[0], "two listeners on one process received different events");
    assert_eq!(received[2], received[0], "a listener on the replica received different events");
    replica.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn one_query_reads_the_events_for_all_listeners() {
    const POLL: Duration = Duration::from_millis(50);
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    let (proxy, url) = stack.database.via_proxy().await;
    stack.set("DATABASE_URL", url);
    stack.set("EVENTS_POLL_SECONDS", POLL.as_secs_f64().to_string());
    stack.start_api().await;
    // The event ids are large enough that no other SQL statement contains them by chance.
    stack.database.execute("ALTER TABLE events AUTO_INCREMENT = 1234567890123456789").await;
    let submissions = join_all((0..4).map(|_| submit(&stack))).await;
    // The query for new events contains the latest event's id.
    let newest = stack.database.number("SELECT MAX(id) FROM events").await;

    let mut streams = Vec::new();
    for listeners in [1, 40] {
        while streams.len() < listeners {
            let submission = &submissions[streams.len() % submissions.len()];
            let mut stream = open(&stack.client, submission).await;
            stream.read_until(|text| text.contains("id: 1")).await;
            streams.push(stream);
        }
        proxy.count(&newest.to_le_bytes());
        let started = Instant::now();
        eventually("the API to poll twenty times", || async {
            (proxy.occurrences() >= 20).then_some(())
        })
        .await;

        // The poller pauses between polls, so the elapsed time limits the number of polls. One more poll may have been
        // in progress when the measurement began.
        let (polls, time) = (proxy.occurrences(), started.elapsed());
        let at_most = 2 + time.as_millis() / POLL.as_millis();
        assert!(polls as u128 <= at_most, "{polls} polls in {time:?} with {listeners} listeners");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_stream_sends_its_headers_and_reconnection_delay() {
    let stack = Stack::start().await;
    let submission = submit(&stack).await;

    let mut stream = open(&stack.client, &submission).await;

    let headers = stream.response().headers();
    assert_eq!(headers["cache-control"], "no-cache, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    stream.read_to_end().await;
    assert!(stream.blocks()[0].starts_with(RETRY_HINT), "{}", stream.text());
    assert_eq!(numbers(&stream.events()), ALL_EVENTS);
    assert_each_block_has_data(&stream);
    stack.stop().await;
}

/// Asserts that every block of a stream has JSON data. Some clients deliver a message for each block, and a handler
/// that parses the data as JSON would fail on a block without data.
pub(crate) fn assert_each_block_has_data(stream: &SseStream) {
    for block in stream.blocks() {
        let data = block.lines().find_map(|line| line.strip_prefix("data: "));
        let data = data.unwrap_or_else(|| panic!("no data in {block:?}: {}", stream.text()));
        serde_json::from_str::<serde_json::Value>(data).expect("JSON");
    }
}

#[tokio::test]
async fn an_idle_stream_sends_heartbeat_comments() {
    let stack = Stack::with(stuck().with("EVENTS_HEARTBEAT_SECONDS", "0.05")).await;
    let submission = submit(&stack).await;

    let mut stream = open(&stack.client, &submission).await;
    let heartbeats = |text: &str| text.lines().filter(|line| line.starts_with(':')).count();
    stream.read_until(|text| text.contains("id: 2")).await;
    let before = heartbeats(stream.text());
    stream.read_until(|text| heartbeats(text) >= before + 3).await;
    complete(&stack).await;

    stream.read_to_end().await;
    assert_eq!(numbers(&stream.events()), ALL_EVENTS);
    assert_each_block_has_data(&stream);
    stack.stop().await;
}

#[tokio::test]
async fn a_stream_opens_only_with_the_token_of_its_submission() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let (mine, other) = (submit(&stack).await, submit(&stack).await);

    let rejection = async |response: Response| {
        let status = response.status();
        assert!(status.is_client_error(), "{status}");
        let body: serde_json::Value = response.json().await.expect("JSON");
        assert_eq!(body["success"], false);
        (status.as_u16(), body["error"]["code"].as_str().expect("a code").to_owned())
    };
    let with_token = async |token: &str| {
        let bearer = AcceptedSubmission { access_token: token.to_owned(), ..mine.clone() };
        stack.client.open_events(&bearer, None).await.expect("a response")
    };
    let path = format!("/api/user/events/{}", mine.submission_id);
    let none = stack.client.get(&path).await;
    assert_eq!(rejection(none).await, (401, "token_required".to_owned()));
    let other_token = with_token(&other.access_token).await;
    assert_eq!(rejection(other_token).await, (404, "not_found".to_owned()));
    let in_url = stack.client.get(&format!("{path}?access_token={}", mine.access_token)).await;
    assert_eq!(rejection(in_url).await, (401, "token_required".to_owned()));
    assert_eq!(with_token(&mine.access_token).await.status(), StatusCode::OK);
    stack.stop().await;
}

#[tokio::test]
async fn a_browser_opens_the_stream_with_its_cookie() {
    let stack = Stack::start().await;
    let body = ApiClient::submission_body("ana@example.org", "", &[photos::retina()]);
    let response = stack.client.post(&body, None).await.expect("a response");
    let cookies: Vec<String> = response
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().expect("text").to_owned())
        .collect();
    let submission = expect_accepted(response).await;

    // Like a browser, the client sends only the cookie for this path and no other headers.
    let path = format!("/api/user/events/{}", submission.submission_id);
    let cookie = cookies.iter().find(|cookie| cookie.contains(&format!("Path={path}")));
    let cookie = cookie.unwrap_or_else(|| panic!("no cookie for {path} in {cookies:?}"));
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().expect("a name and a value");
    let listen = reqwest::Client::new().get(stack.client.url(&path)).header("cookie", pair);
    let response = listen.send().await.expect("a response");

    assert_eq!(response.status(), StatusCode::OK);
    let text = timeout(LIMIT, response.text()).await.expect("an end in time").expect("text");
    assert!(text.contains("event: result_ready"), "{text}");
    stack.stop().await;
}

#[tokio::test]
async fn an_api_restart_ends_streams_and_they_resume() {
    let mut stack = Stack::with(stuck()).await;
    let submission = submit(&stack).await;
    let mut stream = open(&stack.client, &submission).await;
    stream.read_until(|text| text.contains("id: 2")).await;

    stack.api.take().expect("running").stop().await;

    stream.read_to_end().await;
    // The first line of the stream sets the delay after which the browser reconnects.
    assert!(stream.text().starts_with(RETRY_HINT), "{}", stream.text());
    assert_each_block_has_data(&stream);
    // The submission completes while the API is down.
    complete(&stack).await;
    stack.start_api().await;
    assert_eq!(numbers(&events_of(&stack.client, &submission, Some(2)).await), ALL_EVENTS[2..]);
    stack.stop().await;
}

#[tokio::test]
async fn a_stream_resumes_after_the_api_was_killed() {
    let mut stack = Stack::with(stuck()).await;
    let submission = submit(&stack).await;
    let mut listening = stack.client.events(&submission, None).await;
    let mut events: Vec<_> = listening.by_ref().take(2).collect().await;

    stack.api.take().expect("running").kill();
    let cut_off = timeout(Duration::from_secs(10), listening.next()).await;
    assert_eq!(cut_off.expect("the end of the connection"), None);
    complete(&stack).await;
    stack.start_api().await;

    events.extend(events_of(&stack.client, &submission, Some(2)).await);
    assert_eq!(numbers(&events), ALL_EVENTS);
    stack.stop().await;
}
