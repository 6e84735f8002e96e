//! Tests of a submission's page, as a browser without scripts shows it.

use diagflow_store::{DeliveryStatus, Failpoint, Role};
use diagflow_tests::assertions::{cancelled, executions, wait_completed_once, wait_ended_once};
use diagflow_tests::ports::NOWHERE;
use diagflow_tests::responses::{body, header};
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, eventually, photos};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use serde_json::json;

/// Sends a request with the cookie that the browser has for the page's path.
async fn send(
    stack: &Stack,
    method: Method,
    submission: &AcceptedSubmission,
    action: &str,
    token: &str,
    language: &str,
) -> Response {
    let client = Client::builder().redirect(Policy::none()).build().expect("a client");
    let path = format!("/s/{}{action}", submission.submission_id);
    let request = client.request(method, stack.client.url(&path));
    let request = request.header("cookie", format!("diagflow_access={token}"));
    request.header("accept-language", language).send().await.expect("a response")
}

async fn get(stack: &Stack, submission: &AcceptedSubmission, action: &str) -> Response {
    send(stack, Method::GET, submission, action, &submission.access_token, "en").await
}

async fn post(stack: &Stack, submission: &AcceptedSubmission, action: &str) -> Response {
    send(stack, Method::POST, submission, action, &submission.access_token, "en").await
}

async fn page_in(stack: &Stack, submission: &AcceptedSubmission, language: &str) -> String {
    let token = &submission.access_token;
    let response = send(stack, Method::GET, submission, "", token, language).await;
    assert_eq!(response.status(), 200);
    response.text().await.expect("a page")
}

async fn page(stack: &Stack, submission: &AcceptedSubmission) -> String {
    page_in(stack, submission, "en").await
}

fn heading(page: &str) -> &str {
    let (_, rest) = page.split_once("<h1").expect("a heading");
    let (_, rest) = rest.split_once('>').expect("the end of the tag");
    rest.split_once("</h1>").expect("the end of the heading").0
}

/// Asserts that the title and the heading are the same, and that the page contains the texts.
#[track_caller]
fn assert_page(page: &str, title: &str, texts: &[&str]) {
    assert!(page.contains(&format!("<title>{title} – Diagflow</title>")), "{page}");
    assert_eq!(heading(page), title);
    for text in texts {
        assert!(page.contains(text), "{text:?} is not in {page}");
    }
}

/// Returns the class and the title of each step.
fn shown_steps(page: &str) -> Vec<(String, String)> {
    let steps = page.split("steps__step--").skip(1).map(|step| {
        let (class, rest) = step.split_once('"').expect("the end of the class");
        let (_, title) = rest.split_once("</span> ").expect("the progress");
        (class.to_owned(), title.split_once("</p>").expect("the end of the title").0.to_owned())
    });
    steps.collect()
}

fn step(class: &str, title: &str) -> (String, String) {
    (class.to_owned(), title.to_owned())
}

fn reloads_itself(page: &str) -> bool {
    page.contains("<meta http-equiv=\"refresh\"")
}

#[tokio::test]
async fn a_waiting_patient_sees_what_happens_with_the_photos() {
    let options = StackOptions::default().with("TEMPORAL_ADDRESS", NOWHERE);
    let stack = Stack::api_only(options).await;
    let submission =
        stack.client.submit("maria@example.org", "", &[photos::retina(), photos::cat()]).await;

    let english = page(&stack, &submission).await;

    let photo = format!("src=\"/api/user/files/{}/2\"", submission.submission_id);
    let texts = [
        "We received 2 photos:",
        &photo,
        "<span class=\"small\">Photo 2</span>",
        "Usually a few minutes.",
        "Yes. We will e-mail the result to m…@example.org.",
        "/cancel\">Cancel the diagnosis</a>",
    ];
    assert_page(&english, "We have your photos", &texts);
    assert!(!english.contains("maria@"), "the whole address is shown");
    assert_eq!(
        shown_steps(&english),
        [
            step("done", "Photos received"),
            step("current", "Waiting for the examination"),
            step("upcoming", "Examination"),
            step("upcoming", "Result, here and by e-mail"),
        ]
    );
    assert!(reloads_itself(&english));
    let german = page_in(&stack, &submission, "de").await;
    let texts = ["2 Fotos eingegangen:", "Wir senden das Ergebnis per E-Mail an m…@example.org."];
    assert_page(&german, "Ihre Fotos sind bei uns angekommen", &texts);
    stack.stop().await;
}

#[tokio::test]
async fn a_patient_sees_the_queue_the_examination_and_a_pause() {
    let options = StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "600");
    let (stack, submission) = Stack::with_submission(options).await;
    stack.wait_for_status(&submission, "processing").await;

    let processing = page(&stack, &submission).await;

    assert_page(&processing, "Your photos are being examined", &["At the latest:"]);
    assert_eq!(shown_steps(&processing)[1], step("current", "LoopAI is examining your photos"));
    let german = page_in(&stack, &submission, "de").await;
    assert_page(&german, "Ihre Fotos werden untersucht", &["Spätestens:"]);

    let operator = Staff::with_role(&stack, Role::Operator).await;
    let request = json!({"paused": true, "reason": "LoopAI is being updated"});
    body(operator.put("/api/admin/pauses/loopai_requests", &request).await).await;
    let paused = page(&stack, &submission).await;
    assert!(paused.contains("Our team has paused diagnoses"), "{paused}");
    assert!(!paused.contains("At the latest:"), "a pause has no known end");
    assert!(!paused.contains("LoopAI is being updated"), "the reason is for staff only");
    stack.stop().await;
}

#[tokio::test]
async fn a_result_is_shown_with_its_conclusion_findings_and_recommendations() {
    let (stack, submission) =
        Stack::with_submission(StackOptions::default().scenario("stuck")).await;
    let execution = stack.wait_for_polls(0).await;
    let findings: Vec<_> = (1..=40)
        .map(|number| {
            let file = if number == 1 { "image-1.jpg" } else { "other.jpg" };
            json!({"label": format!("Finding <b>{number}</b>"), "confidence": 0.87, "file": file})
        })
        .collect();
    let result = json!({
        "summary": "All <script>alert(1)</script> well",
        "findings": findings,
        "recommendations": ["Use <i>sun</i> protection"],
        "model": {"name": "\"><img src=x>"},
    });
    stack.loopai.complete_with(&execution, result).expect("in progress");
    wait_completed_once(&stack, &submission).await;

    let english = page(&stack, &submission).await;

    let texts = [
        "All &#60;script&#62;alert(1)&#60;/script&#62; well",
        "Finding &#60;b&#62;40&#60;/b&#62;",
        "Confidence: high (87%)",
        "Use &#60;i&#62;sun&#60;/i&#62; protection",
        "&#34;&#62;&#60;img src=x&#62;",
        "Software made this result. It does not replace a doctor.",
        "We have e-mailed this to",
    ];
    assert_page(&english, "Your result", &texts);
    assert_eq!(english.matches("class=\"finding card\"").count(), 40);
    assert_eq!(english.matches("<p class=\"muted\">Photo 1</p>").count(), 1);
    let document = format!("href=\"/api/user/status/{}\" download", submission.submission_id);
    assert!(english.contains(&document));
    assert!(!reloads_itself(&english) && !english.contains("/cancel\""));
    let german = page_in(&stack, &submission, "de").await;
    assert_page(
        &german,
        "Ihr Ergebnis",
        &["Sicherheit: hoch (87 %)", "Es ersetzt keinen Arztbesuch."],
    );
    stack.stop().await;
}

#[tokio::test]
async fn a_result_without_known_fields_is_shown_as_details() {
    let (stack, submission) =
        Stack::with_submission(StackOptions::default().scenario("stuck")).await;
    let execution = stack.wait_for_polls(0).await;
    let result = json!({"skin_type": "II"});
    stack.loopai.complete_with(&execution, result).expect("in progress");
    wait_completed_once(&stack, &submission).await;

    let texts = ["Your result contains no conclusion.", "<dt>skin type</dt><dd>II</dd>"];
    assert_page(&page(&stack, &submission).await, "Your result", &texts);
    stack.stop().await;
}

#[tokio::test]
async fn a_patient_without_a_result_learns_why_and_what_to_do() {
    for (script, code, title, german_title, what) in [
        (
            "fail",
            "loopai_failed",
            "We could not complete your diagnosis",
            "Wir konnten Ihre Diagnose nicht abschließen",
            "Take new photos and send them to us, or see a doctor.",
        ),
        (
            "diagnose=400",
            "loopai_refused",
            "We could not complete your diagnosis",
            "Wir konnten Ihre Diagnose nicht abschließen",
            "There is nothing wrong with your photos.",
        ),
        (
            "stuck",
            "deadline_exceeded",
            "Your diagnosis took too long",
            "Ihre Diagnose hat zu lange gedauert",
            "Send your photos again later, or see a doctor.",
        ),
    ] {
        let deadline = if script == "stuck" { "2" } else { "1200" };
        let options =
            StackOptions::default().scenario(script).with("DIAGNOSIS_DEADLINE_SECONDS", deadline);
        let (stack, submission) = Stack::with_submission(options).await;
        let ended = eventually(format!("{script} to end the submission"), || async {
            let status = stack.client.status(&submission).await.ok()?;
            (status["error"]["code"] == code).then_some(())
        });
        ended.await;

        let english = page(&stack, &submission).await;
        assert_page(&english, title, &[what, "href=\"/\">Send photos again</a>"]);
        let last = shown_steps(&english).pop().expect("a step");
        assert_eq!(last.0, "failed", "{last:?}");
        assert_eq!(heading(&page_in(&stack, &submission, "de").await), german_title);
        stack.stop().await;
    }
}

#[tokio::test]
async fn a_patient_cancels_a_submission_with_a_form() {
    let options = StackOptions::default().scenario("stuck").with("DIAGNOSIS_POLL_SECONDS", "600");
    let (stack, submission) = Stack::with_submission(options).await;
    stack.wait_for_status(&submission, "processing").await;
    let confirmation = get(&stack, &submission, "/cancel").await;
    assert_eq!(confirmation.status(), 200);
    let confirmation = confirmation.text().await.expect("a page");
    assert_page(&confirmation, "Cancel the diagnosis?", &["Yes, cancel the diagnosis"]);

    let response = post(&stack, &submission, "/cancel").await;

    let path = format!("/s/{}", submission.submission_id);
    assert_eq!((response.status().as_u16(), header(&response, "location")), (303, path.clone()));
    wait_ended_once(&stack, &submission, cancelled()).await;
    let ended = page(&stack, &submission).await;
    assert_page(&ended, "Your submission was cancelled", &["send your photos again"]);
    assert_eq!(shown_steps(&ended).pop(), Some(step("stopped", "Cancelled")));
    // Once it has ended, the page shows the state instead.
    for response in
        [get(&stack, &submission, "/cancel").await, post(&stack, &submission, "/cancel").await]
    {
        assert_eq!(
            (response.status().as_u16(), header(&response, "location")),
            (303, path.clone())
        );
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_cancellation_in_progress_is_shown() {
    let (stack, submission) =
        Stack::with_submission(StackOptions::default().scenario("stuck")).await;
    stack.wait_for_status(&submission, "processing").await;
    stack.database.execute("UPDATE runs SET cancel_requested_at = NOW(6)").await;

    let page = page(&stack, &submission).await;

    assert!(page.contains("Your submission is being cancelled."), "{page}");
    assert!(!page.contains("/cancel\""), "a second cancellation is offered");
    stack.stop().await;
}

#[tokio::test]
async fn a_patient_deletes_a_submission_with_a_form() {
    let stack = Stack::start().await;
    let submission =
        stack.client.submit("ana@example.org", "it itches", &[photos::unique_retina()]).await;
    wait_completed_once(&stack, &submission).await;
    let confirmation = get(&stack, &submission, "/delete").await.text().await.expect("a page");
    assert_page(&confirmation, "Delete your photos and the result?", &["Nobody can undo this."]);
    assert!(!confirmation.contains("examination of your photos is stopped"));

    let response = post(&stack, &submission, "/delete").await;

    assert_eq!(response.status(), 303);
    let row = stack.store.submission(id_of(&submission)).await.expect("a response");
    assert!(row.expect("a submission").erased_at.is_some());
    for action in ["", "/cancel", "/delete"] {
        let gone = get(&stack, &submission, action).await;
        assert_eq!(gone.status(), 410);
        let gone = gone.text().await.expect("a page");
        assert_eq!(heading(&gone), "This data was deleted");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_deletion_waits_for_an_email_that_is_being_sent() {
    let stack = Stack::start().await;
    stack.failpoints.arm(Failpoint::AfterMailClaimed);
    let submission = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    stack.failpoints.wait_until_reached(Failpoint::AfterMailClaimed).await;

    let response = post(&stack, &submission, "/delete").await;

    assert_eq!(response.status(), 409);
    assert!(header(&response, "retry-after").parse::<u64>().is_ok());
    let refused = response.text().await.expect("a page");
    assert!(
        refused.contains("An e-mail about this submission is being sent right now"),
        "{refused}"
    );
    // The page of the result requests itself again until the outcome of the e-mail is known.
    assert!(reloads_itself(&page(&stack, &submission).await));
    stack.failpoints.release(Failpoint::AfterMailClaimed);
    eventually("the e-mail to be sent", || async {
        let deliveries = stack.store.deliveries(id_of(&submission)).await.ok()?;
        (deliveries.first()?.status == DeliveryStatus::Sent).then_some(())
    })
    .await;
    assert_eq!(post(&stack, &submission, "/delete").await.status(), 303);
    stack.stop().await;
}

#[tokio::test]
async fn the_page_is_shown_only_with_the_submissions_cookie() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let mine = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    let other = stack.client.submit("bo@example.org", "", &[photos::retina()]).await;
    let path = format!("/s/{}", mine.submission_id);
    let without = stack.client.get(&path).await;
    assert_eq!(without.status(), 401);
    let without = without.text().await.expect("a page");
    assert_page(
        &without,
        "We cannot show you this submission",
        &["We also send the result by e-mail."],
    );

    for action in ["", "/cancel", "/delete"] {
        let token = &other.access_token;
        let response = send(&stack, Method::GET, &mine, action, token, "de").await;
        assert_eq!(response.status(), 404, "{action}");
        let page = response.text().await.expect("a page");
        assert_eq!(heading(&page), "Wir können Ihnen diese Einsendung nicht zeigen");
    }
    for action in ["/cancel", "/delete"] {
        let response = send(&stack, Method::POST, &mine, action, &other.access_token, "en").await;
        assert_eq!(response.status(), 404, "{action}");
    }
    assert_eq!(stack.client.get("/s/unknown").await.status(), 404);
    let row = stack.store.submission(id_of(&mine)).await.expect("a response").expect("a row");
    assert_eq!((row.erased_at, row.finished_at), (None, None));
    assert!(executions(&stack, &mine).is_empty());
    stack.stop().await;
}
