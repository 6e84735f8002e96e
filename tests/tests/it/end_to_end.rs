//! Tests of a submission's entire path: the system receives, stores and diagnoses it, e-mails the result and streams
//! the events.

use diagflow_tests::stack::id_of;
use diagflow_tests::{ApiClient, Stack, history, photos};
use futures::StreamExt;
use serde_json::Value;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_submission_is_diagnosed_stored_and_emailed() {
    let stack = Stack::start().await;

    let photos = [photos::retina(), photos::cat(), photos::cat_webp()];
    let accepted =
        stack.client.submit("ana@example.org", "Seit gestern rot — tut weh", &photos).await;
    let events: Vec<_> = stack.client.events(&accepted, None).await.collect().await;

    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names.last(), Some(&"result_ready"), "{events:?}");
    assert!(names[..names.len() - 1].iter().all(|name| *name == "status_update"));
    let numbers: Vec<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    let statuses: Vec<_> =
        events.iter().filter_map(|event| event.data["status"].as_str()).collect();
    assert_eq!(statuses, ["pending", "processing", "completed", "completed"]);

    let status = stack.client.status(&accepted).await.expect("a response");
    assert_eq!(status["result"]["simulated"], true);
    assert_eq!(status["result"]["measurements"].as_array().map(Vec::len), Some(3), "{status}");

    let mail = stack.mail.wait_for(|mail| mail.subject == "Your diagnosis result", LIMIT).await;
    let mail = mail.expect("an e-mail");
    assert!(format!("{mail:?}").contains("ana@example.org"));
    let summary = status["result"]["summary"].as_str().expect("a summary");
    for body in [mail.text.as_deref(), mail.html.as_deref()] {
        let body = body.expect("a body").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(body.contains(summary), "{summary:?} in {body}");
    }

    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Completed");
    let deliveries = stack.store.deliveries(id_of(&accepted)).await.expect("deliveries");
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].status.to_string(), "sent");
    let executions = stack.loopai.executions();
    assert_eq!(executions.len(), 1);
    assert!(executions[0].images.iter().all(|image| image.sha256_matches == Some(true)));
    assert!(!executions[0].contains_email, "the request to LoopAI contains the e-mail address");
    stack.stop().await;
}

#[tokio::test]
async fn the_workflow_history_contains_no_personal_data() {
    let stack = Stack::start().await;
    let comments = "Zebra-Komme-17 itches";

    let accepted =
        stack.client.submit("private.person@example.org", comments, &[photos::retina()]).await;
    let status = stack.wait_for_status(&accepted, "completed").await;
    history::wait_until_closed(&stack, &accepted).await;

    let document = history::json(&stack, &accepted).await;
    assert_eq!(history::possible_personal_data(&document), Vec::<String>::new());
    let text = history::decode_payloads(&document);
    assert!(
        text.contains(&accepted.submission_id),
        "the history does not belong to the submission"
    );
    let summary = status["result"]["summary"].as_str().expect("a summary");
    for secret in ["private.person", "Zebra-Komme", "retina.jpg", summary, &accepted.access_token] {
        assert!(!text.contains(secret), "the history contains {secret:?}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn json_and_multipart_bodies_are_equivalent() {
    let stack = Stack::start().await;
    let photos = [photos::retina()];

    let by_multipart =
        stack.client.submit_multipart("ana@example.org", "hello", &photos, Some("key-1")).await;
    assert_eq!(by_multipart.status().as_u16(), 202);
    let by_multipart: Value = by_multipart.json().await.expect("JSON");
    let body = ApiClient::submission_body("ana@example.org", "hello", &photos);
    let by_json = stack.client.post(&body, Some("key-1")).await.expect("a response");

    assert_eq!(by_json.status().as_u16(), 202);
    let by_json: Value = by_json.json().await.expect("JSON");
    assert_eq!(by_json["submission_id"], by_multipart["submission_id"]);
    assert_eq!(by_json["access_token"], by_multipart["access_token"]);
    stack.stop().await;
}
