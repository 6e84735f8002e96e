//! Following a submission live: resumed anywhere, on any replica, after any restart of the API.

use diagflow_tests::client::accepted;
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::stack::id_of;
use diagflow_tests::{Accepted, ApiClient, SseEvent, Stack, StackOptions, eventually, photos};
use futures::StreamExt;
use futures::future::{join, join_all};
use reqwest::{Response, StatusCode};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// What a listener gets of a submission that completes: received, diagnosing, completed, ready.
const WHOLE: [i64; 4] = [1, 2, 3, 4];
/// What a browser is told about coming back.
const RETRY_HINT: &str = "retry: 2000";

/// A diagnosis that ends only when the test says so.
fn by_hand() -> StackOptions {
    StackOptions::default().scenario("stuck")
}

async fn submit(stack: &Stack) -> Accepted {
    stack.client.submit("ana@example.org", "", &[photos::retina()]).await
}

/// Lets the diagnosis end, once LoopAI has it.
async fn complete(stack: &Stack) {
    let begun = |all: &[_]| all.first().map(|one: &Execution| one.execution_id.clone());
    let execution = stack.loopai.wait_for(begun, LIMIT).await.expect("an execution");
    stack.loopai.complete(&execution).expect("is under way");
}

type Execution = diagflow_simulators::loopai::ExecutionRecord;

async fn story(client: &ApiClient, submission: &Accepted, after: Option<i64>) -> Vec<SseEvent> {
    client.events(submission, after).await.collect().await
}

fn numbers(events: &[SseEvent]) -> Vec<i64> {
    events.iter().map(|event| event.id).collect()
}

/// A stream as its bytes come.
struct Raw {
    response: Response,
    text: String,
}

impl Raw {
    async fn open(client: &ApiClient, submission: &Accepted) -> Raw {
        let response = client.open_events(submission, None).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        Raw { response, text: String::new() }
    }

    /// Reads on until `enough`.
    async fn until(&mut self, enough: impl Fn(&str) -> bool) {
        while !enough(&self.text) {
            let chunk = timeout(LIMIT, self.response.chunk()).await.expect("more in time");
            let chunk = chunk.expect("unbroken").expect("more");
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// Reads to the end: all blocks of the stream.
    ///
    /// # Panics
    /// When it breaks off instead of ending.
    async fn blocks(mut self) -> Vec<String> {
        while let Some(chunk) =
            timeout(LIMIT, self.response.chunk()).await.expect("an end in time").expect("unbroken")
        {
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
        self.text.split_terminator("\n\n").map(str::to_owned).collect()
    }
}

/// Listens, goes away after `count` events, and comes back.
async fn cut_off_after(count: usize, client: &ApiClient, submission: &Accepted) -> Vec<SseEvent> {
    let mut events: Vec<_> = client.events(submission, None).await.take(count).collect().await;
    let last = events.last().map(|event| event.id);
    events.extend(story(client, submission, last).await);
    events
}

#[tokio::test]
async fn a_stream_that_is_cut_off_anywhere_is_resumed_without_gap_or_repeat() {
    let stack = Stack::with(by_hand()).await;
    let submission = submit(&stack).await;

    let counts = 0..=WHOLE.len();
    let listeners = counts.map(|count| cut_off_after(count, &stack.client, &submission));
    let (live, ()) = join(join_all(listeners), complete(&stack)).await;

    let whole = story(&stack.client, &submission, None).await;
    assert_eq!(numbers(&whole), WHOLE);
    for (count, events) in live.iter().enumerate() {
        assert_eq!(*events, whole, "cut off after {count}, resumed while it went on");
        let afterwards = cut_off_after(count, &stack.client, &submission).await;
        assert_eq!(afterwards, whole, "cut off after {count}, resumed when it was over");
    }
    stack.stop().await;
}

#[tokio::test]
async fn who_has_everything_is_told_not_to_come_back() {
    let stack = Stack::start().await;
    let submission = submit(&stack).await;
    stack.until(&submission, "completed").await;

    let status_after = async |number: &str| {
        let answer = stack.client.open_events(&submission, Some(number)).await;
        answer.expect("an answer").status()
    };
    assert_eq!(status_after("3").await, StatusCode::OK);
    assert_eq!(status_after("4").await, StatusCode::NO_CONTENT);
    // Also when the story of the e-mail went on behind the end.
    eventually("the e-mail to be told of", || async {
        let events = stack.store.events(id_of(&submission), 4).await.expect("events");
        events.first().map(|event| assert_eq!(event.step.name(), "mail_sent"))
    })
    .await;
    assert_eq!(status_after("4").await, StatusCode::NO_CONTENT);
    assert_eq!(status_after("5").await, StatusCode::NO_CONTENT);
    stack.stop().await;
}

#[tokio::test]
async fn a_stream_is_resumed_on_another_replica() {
    let stack = Stack::with(by_hand()).await;
    let (replica, other) = stack.start_replica().await;
    let submission = submit(&stack).await;

    let mut events: Vec<_> = stack.client.events(&submission, None).await.take(2).collect().await;
    let resumed = story(&other, &submission, Some(2));
    let (rest, ()) = join(resumed, complete(&stack)).await;
    events.extend(rest);

    assert_eq!(numbers(&events), WHOLE);
    assert_eq!(events, story(&stack.client, &submission, None).await);
    replica.stopped().await;
    stack.stop().await;
}

#[tokio::test]
async fn everybody_hears_the_same_whoever_wrote_it_and_wherever_they_listen() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;
    let (replica, other) = stack.start_replica().await;
    let submission = submit(&stack).await;

    let mut streams = Vec::new();
    for client in [&stack.client, &stack.client, &other] {
        let mut events = client.events(&submission, None).await;
        let first = events.next().await.expect("the first event");
        assert_eq!((first.id, &first.data["status"]), (1, &"pending".into()));
        streams.push(events);
    }
    // From here on, the worker writes.
    stack.start_worker().await;
    let heard = join_all(streams.into_iter().map(StreamExt::collect::<Vec<_>>)).await;

    assert_eq!(numbers(&heard[0]), WHOLE[1..]);
    assert_eq!(heard[1], heard[0], "two listeners at one process");
    assert_eq!(heard[2], heard[0], "a listener at the process that wrote nothing");
    replica.stopped().await;
    stack.stop().await;
}

#[tokio::test]
async fn one_tail_reads_the_events_however_many_listen() {
    const POLL: Duration = Duration::from_millis(50);
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    let (line, url) = stack.database.by_proxy().await;
    stack.set("DATABASE_URL", url);
    stack.set("EVENTS_POLL_SECONDS", POLL.as_secs_f64().to_string());
    stack.start_api().await;
    // A number that stands in no statement by chance.
    stack.database.run("ALTER TABLE events AUTO_INCREMENT = 1234567890123456789").await;
    let submissions = join_all((0..4).map(|_| submit(&stack))).await;
    // What a tail asks for comes after the newest.
    let newest = stack.database.number("SELECT MAX(id) FROM events").await;

    let mut streams = Vec::new();
    for listeners in [1, 40] {
        while streams.len() < listeners {
            let submission = &submissions[streams.len() % submissions.len()];
            let mut stream = Raw::open(&stack.client, submission).await;
            stream.until(|text| text.contains("id: 1")).await;
            streams.push(stream);
        }
        line.count(&newest.to_le_bytes());
        let begun = Instant::now();
        eventually("the events to be looked at", || async { (line.counted() >= 20).then_some(()) })
            .await;

        // A tail rests between two looks, and no timer is early. One look may have been on its way before.
        let (looks, time) = (line.counted(), begun.elapsed());
        let most = 2 + time.as_millis() / POLL.as_millis();
        assert!(looks as u128 <= most, "{looks} in {time:?} while {listeners} listen");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_stream_says_what_it_is_and_when_to_come_back() {
    let stack = Stack::start().await;
    let submission = submit(&stack).await;

    let stream = Raw::open(&stack.client, &submission).await;

    let headers = stream.response.headers().clone();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    let blocks = stream.blocks().await;
    assert_eq!(blocks[0], RETRY_HINT);
    assert!(blocks[1].contains("id: 1\n") || blocks[1].ends_with("id: 1"), "{blocks:?}");
    stack.stop().await;
}

#[tokio::test]
async fn a_silent_stream_gives_signs_of_life_that_are_no_events() {
    let stack = Stack::with(by_hand().with("EVENTS_HEARTBEAT_SECONDS", "0.05")).await;
    let submission = submit(&stack).await;

    let mut stream = Raw::open(&stack.client, &submission).await;
    let beats = |text: &str| text.lines().filter(|line| line.starts_with(':')).count();
    stream.until(|text| text.contains("id: 2")).await;
    let beaten = beats(&stream.text);
    stream.until(|text| beats(text) >= beaten + 3).await;
    complete(&stack).await;

    let ids: Vec<_> = stream
        .blocks()
        .await
        .iter()
        .flat_map(|block| block.lines().filter_map(|line| line.strip_prefix("id: ")))
        .map(|id| id.parse::<i64>().expect("a number"))
        .collect();
    assert_eq!(ids, WHOLE);
    stack.stop().await;
}

#[tokio::test]
async fn a_stream_opens_to_its_own_token_only() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;
    let (mine, other) = (submit(&stack).await, submit(&stack).await);

    let refused = async |answer: Response| {
        let status = answer.status();
        assert!(status.is_client_error(), "{status}");
        let body: serde_json::Value = answer.json().await.expect("JSON");
        assert_eq!(body["success"], false);
        (status.as_u16(), body["error"]["code"].as_str().expect("a code").to_owned())
    };
    let with_token = async |token: &str| {
        let bearer = Accepted { access_token: token.to_owned(), ..mine.clone() };
        stack.client.open_events(&bearer, None).await.expect("an answer")
    };
    let path = format!("/api/user/events/{}", mine.submission_id);
    let none = stack.client.get(&path).await;
    assert_eq!(refused(none).await, (401, "token_required".to_owned()));
    let strangers = with_token(&other.access_token).await;
    assert_eq!(refused(strangers).await, (404, "not_found".to_owned()));
    let in_url = stack.client.get(&format!("{path}?access_token={}", mine.access_token)).await;
    assert_eq!(refused(in_url).await, (401, "token_required".to_owned()));
    assert_eq!(with_token(&mine.access_token).await.status(), StatusCode::OK);
    stack.stop().await;
}

#[tokio::test]
async fn a_page_without_headers_of_its_own_listens_by_its_cookie() {
    let stack = Stack::start().await;
    let body = ApiClient::body("ana@example.org", "", &[photos::retina()]);
    let answer = stack.client.post(&body, None).await.expect("an answer");
    let cookies: Vec<String> = answer
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().expect("text").to_owned())
        .collect();
    let submission = accepted(answer).await;

    // What a browser does: the cookie of this path, and nothing else.
    let path = format!("/api/user/events/{}", submission.submission_id);
    let cookie = cookies.iter().find(|cookie| cookie.contains(&format!("Path={path}")));
    let cookie = cookie.unwrap_or_else(|| panic!("a cookie for {path} in {cookies:?}"));
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().expect("a name and a value");
    let listen = reqwest::Client::new().get(stack.client.address(&path)).header("cookie", pair);
    let response = listen.send().await.expect("an answer");

    assert_eq!(response.status(), StatusCode::OK);
    let text = timeout(LIMIT, response.text()).await.expect("an end in time").expect("text");
    assert!(text.contains("event: result_ready"), "{text}");
    stack.stop().await;
}

#[tokio::test]
async fn a_restart_of_the_api_ends_streams_with_a_hint_and_they_resume() {
    let mut stack = Stack::with(by_hand()).await;
    let submission = submit(&stack).await;
    let mut stream = Raw::open(&stack.client, &submission).await;
    stream.until(|text| text.contains("id: 2")).await;

    stack.api.take().expect("is running").stopped().await;

    let blocks = stream.blocks().await;
    assert_eq!(blocks.last().map(String::as_str), Some(RETRY_HINT), "{blocks:?}");
    // The story goes on while nobody can listen.
    complete(&stack).await;
    stack.start_api().await;
    assert_eq!(numbers(&story(&stack.client, &submission, Some(2)).await), WHOLE[2..]);
    stack.stop().await;
}

#[tokio::test]
async fn a_stream_is_resumed_after_the_api_was_killed() {
    let mut stack = Stack::with(by_hand()).await;
    let submission = submit(&stack).await;
    let mut listening = stack.client.events(&submission, None).await;
    let mut events: Vec<_> = listening.by_ref().take(2).collect().await;

    stack.api.take().expect("is running").kill();
    let cut_off = timeout(Duration::from_secs(10), listening.next()).await;
    assert_eq!(cut_off.expect("the end of the connection"), None);
    complete(&stack).await;
    stack.start_api().await;

    events.extend(story(&stack.client, &submission, Some(2)).await);
    assert_eq!(numbers(&events), WHOLE);
    stack.stop().await;
}
