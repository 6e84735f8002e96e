//! Tests of the page `/admin/overview`.

use diagflow_store::{EndStatus, Role};
use diagflow_tests::responses::{body, header};
use diagflow_tests::{Stack, StackOptions, Staff, eventually, seeding};
use reqwest::Method;
use reqwest::header::ACCEPT_LANGUAGE;
use reqwest::redirect::Policy;
use serde_json::json;

const PAGE: &str = "/admin/overview";
const REQUESTS: &str = "/api/admin/pauses/loopai_requests";

async fn read_page(staff: &Staff, language: &str) -> String {
    let request = staff.request(Method::GET, PAGE).header(ACCEPT_LANGUAGE, language);
    let response = request.send().await.expect("a response");
    assert_eq!(response.status(), 200);
    response.text().await.expect("a page")
}

/// Asserts that the page contains each text.
fn assert_contains(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text} is missing in {page}");
    }
}

/// Stores three completed submissions, one that LoopAI refused, and one that waits.
async fn store_submissions(stack: &Stack) {
    let store = &stack.store;
    for _ in 0..3 {
        let run = seeding::submission(store, "ana@example.org", "", None).await;
        seeding::complete(store, run).await;
    }
    let failed = seeding::submission(store, "ana@example.org", "", None).await;
    seeding::end(store, failed, EndStatus::Failed, "loopai_refused").await;
    seeding::submission(store, "ana@example.org", "", None).await;
    store.recount_submissions().await.expect("counted");
}

#[tokio::test]
async fn each_figure_leads_to_the_submissions_behind_it() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    store_submissions(&stack).await;

    let english = read_page(&clinician, "en").await;
    let german = read_page(&clinician, "de").await;

    for page in [&english, &german] {
        assert_contains(
            page,
            &[
                r#"href="/admin?status=completed"><span class="figures__number">3</span>"#,
                r#"href="/admin?error_code=loopai_refused""#,
                r#"href="/admin/submissions/"#,
                r#"href="/admin?created_from="#,
                r#"<rect width="100%""#,
            ],
        );
        assert_eq!(page.matches("<tr data-count=").count(), 48);
        assert!(!page.contains("data-empty"), "{page}");
    }
    assert_contains(
        &english,
        &[
            "5 submissions in the last 48 hours.",
            "25.0%",
            "No worker is running",
            "Needs attention",
        ],
    );
    assert_contains(
        &german,
        &["5 Einsendungen in den letzten 48 Stunden.", "25,0\u{a0}%", "Es läuft kein Worker"],
    );
    stack.stop().await;
}

#[tokio::test]
async fn the_page_without_submissions_says_so() {
    let stack = Stack::with(StackOptions::default()).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;

    // Temporal reports the worker shortly after it has started.
    let english = eventually("a page without alerts", || async {
        let page = read_page(&operator, "en").await;
        page.contains("Nothing needs attention.").then_some(page)
    })
    .await;
    let german = read_page(&operator, "de").await;

    assert_contains(
        &english,
        &[
            "There are no submissions yet.",
            "There were no submissions in the last 48 hours.",
            "No submission failed in the last 7 days.",
            "There were no results in the last 24 hours.",
            "data-empty",
        ],
    );
    assert_contains(&german, &["Es gibt noch keine Einsendungen.", "Zurzeit ist nichts zu tun."]);
    stack.stop().await;
}

#[tokio::test]
async fn a_pause_is_shown_to_all_staff_but_only_some_may_change_it() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let running = read_page(&operator, "en").await;
    assert_eq!(running.matches(r#"data-paused="true""#).count(), 2, "{running}");
    let pause = json!({"paused": true, "reason": "LoopAI <b>is being updated</b>"});
    body(operator.put(REQUESTS, &pause).await).await;

    let of_operator = read_page(&operator, "en").await;
    let of_clinician = read_page(&clinician, "en").await;

    for page in [&of_operator, &of_clinician] {
        let by = format!("Paused by {}", operator.email);
        assert_contains(page, &["Diagnoses are paused.", &by, "is being updated"]);
        assert!(!page.contains("<b>"), "{page}");
    }
    let resume = r#"data-pause="loopai_requests" data-paused="false""#;
    assert_contains(&of_operator, &[resume, r#"data-pause="emails" data-paused="true""#]);
    assert!(!of_clinician.contains("data-pause="), "{of_clinician}");
    stack.stop().await;
}

#[tokio::test]
async fn the_page_requires_the_permission_to_read_submissions() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let patient = Staff::with_role(&stack, Role::Patient).await;

    let refused = patient.get(PAGE).await;
    let visitor = reqwest::Client::builder().redirect(Policy::none()).build().expect("a client");
    let redirected = visitor.get(stack.client.url(PAGE)).send().await.expect("a response");

    assert_eq!(refused.status(), 403);
    assert_eq!(header(&refused, "content-type"), "text/html; charset=utf-8");
    assert_eq!(redirected.status(), 303);
    assert_eq!(header(&redirected, "location"), "/login?return=%2Fadmin%2Foverview");
    stack.stop().await;
}
