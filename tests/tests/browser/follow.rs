//! Tests of `follow.js` in Chromium, through nginx.

use crate::support::behind_nginx;
use diagflow_tests::browser::{Browser, Language, Page, Profile, Scheme, Screen};
use diagflow_tests::{ApiClient, StackOptions, photos};
use serde_json::json;

/// Submits a photo and follows the submission with the cookies that the response sets.
const FOLLOW: &str = "
    const response = await fetch('/api/user/submit', {
        method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(BODY),
    });
    const accepted = await response.json();
    const { follow } = await import('/assets/current/scripts/follow.js');
    window.events = [];
    window.follower = follow(accepted.events_url, { onEvent: (event) => events.push(event) });";

async fn follow(page: &Page) {
    let body = ApiClient::submission_body("ana@example.org", "[sim: stuck]", &[photos::retina()]);
    let script = FOLLOW.replace("BODY", &body.to_string());
    page.evaluate(&format!("void (async () => {{ {script} }})()")).await;
    page.wait_until("window.follower !== undefined").await;
}

async fn wait_for_state(page: &Page, name: &str) {
    page.wait_until(&format!("follower.state.name === '{name}'")).await;
}

#[tokio::test]
async fn a_browser_follows_a_submission_through_a_restart_and_without_a_network() {
    let (mut stack, nginx) = behind_nginx(StackOptions::default()).await;
    stack.start_worker().await;
    let browser = Browser::start().await;
    let profile = Profile::new(Screen::Phone, Scheme::Light, Language::English);
    let page = browser.open(&nginx.url(), profile).await;
    page.visit("/").await;
    follow(&page).await;
    wait_for_state(&page, "live").await;
    let execution = stack.wait_for_polls(1).await;

    stack.api.take().expect("a running process").stop().await;
    wait_for_state(&page, "reconnecting").await;
    stack.start_api().await;
    wait_for_state(&page, "live").await;

    page.set_offline(true).await;
    wait_for_state(&page, "reconnecting").await;
    page.set_offline(false).await;
    wait_for_state(&page, "live").await;

    let result = json!({"summary": "Nothing to worry about."});
    stack.loopai.complete_with(&execution, result).expect("a running execution");
    wait_for_state(&page, "ended").await;
    assert_eq!(page.evaluate("follower.state.reason").await, "complete");
    let ids = page.evaluate("events.map((event) => Number(event.id))").await;
    let ids: Vec<u32> = serde_json::from_value(ids).expect("numbers");
    let count = u32::try_from(ids.len()).expect("a few events");
    assert_eq!(ids, (1..=count).collect::<Vec<_>>(), "every event is received once, in order");
    assert_eq!(page.evaluate("events.at(-1).name").await, "result_ready");
    stack.stop().await;
}
