//! Tests of the console's list of submissions.

use diagflow_store::{EndStatus, Role};
use diagflow_tests::{Stack, StackOptions, Staff, seeding};
use reqwest::{Method, header};

/// Returns the status and the text of a page.
async fn read(staff: &Staff, path: &str, language: &str) -> (u16, String) {
    let request = staff.request(Method::GET, path).header(header::ACCEPT_LANGUAGE, language);
    let response = request.send().await.expect("a response");
    (response.status().as_u16(), response.text().await.expect("a page"))
}

fn assert_contains(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text} is not in the page: {page}");
    }
}

fn assert_lacks(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(!page.contains(text), "{text} is in the page: {page}");
    }
}

/// Adds a *failed*, a *completed* and a *pending* submission, oldest first.
async fn add_submissions(stack: &Stack) {
    let store = &stack.store;
    let failed = seeding::submission(store, "ana@example.org", "", None).await;
    seeding::end(store, failed, EndStatus::Failed, "loopai_failed").await;
    let completed = seeding::submission(store, "ben@example.org", "", None).await;
    seeding::complete(store, completed).await;
    seeding::submission(store, "eva@example.org", "", None).await;
}

#[tokio::test]
async fn the_list_shows_states_and_masked_addresses_in_each_language() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let (status, empty) = read(&staff, "/admin", "en").await;
    assert_eq!(status, 200);
    assert_contains(&empty, &["No submissions yet."]);
    add_submissions(&stack).await;

    let (_, english) = read(&staff, "/admin", "en").await;
    assert_contains(
        &english,
        &[
            "a…@example.org",
            "b…@example.org",
            "LoopAI could not make a diagnosis",
            r#"All <span class="tabs__count">3</span>"#,
            r#"Failed <span class="tabs__count">1</span>"#,
            "3 submissions · Page 1 of 1",
            r#"aria-sort="descending"><a href="/admin?sort=created_at">Received"#,
        ],
    );
    assert_lacks(&english, &["ana@example.org", "No submissions"]);
    let (_, german) = read(&staff, "/admin", "de").await;
    assert_contains(
        &german,
        &["Fehlgeschlagen", "LoopAI konnte keine Diagnose stellen", "3 Einsendungen"],
    );
    stack.stop().await;
}

#[tokio::test]
async fn filters_in_the_address_are_chips_that_can_be_removed() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Admin).await;
    add_submissions(&stack).await;

    let path = "/admin?status=failed&email=ana*&error_code=loopai_failed&per_page=50";
    let (status, page) = read(&staff, path, "en").await;
    assert_eq!(status, 200);
    assert_contains(
        &page,
        &[
            r#"<a class="chip" href="/admin?status=failed&#38;error_code=loopai_failed&#38;per_page=50">"#,
            "Cause of the failure: LoopAI could not make a diagnosis",
            "E-mail address of the patient: ana*",
            "1 submission ·",
        ],
    );
    // The counters of the states do not consider other filters.
    assert_lacks(&page, &["b…@example.org", "tabs__count"]);

    let (_, none) = read(&staff, "/admin?email=nobody@example.org", "en").await;
    assert_contains(&none, &["No submissions match these filters."]);

    let (status, invalid) = read(&staff, "/admin?comments=at&created_from=monday", "de").await;
    assert_eq!(status, 400);
    assert_contains(
        &invalid,
        &[
            "<title>Fehler: Einsendungen",
            r##"<a href="#created_from">Geben Sie ein gültiges Datum ein.</a>"##,
            r##"<a href="#comments">Geben Sie höchstens 10 Wörter"##,
        ],
    );
    stack.stop().await;
}

#[tokio::test]
async fn pages_follow_each_other() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    add_submissions(&stack).await;
    let (_, first) = read(&staff, "/admin?per_page=1&sort=created_at", "en").await;
    assert_contains(&first, &["a…@example.org", "Page 1 of 3", r#"rel="next""#]);
    assert_lacks(&first, &[r#"rel="prev""#]);
    let (_, last) = read(&staff, "/admin?per_page=1&sort=created_at&page=3", "en").await;
    assert_contains(&last, &["e…@example.org", r#"rel="prev""#]);
    assert_lacks(&last, &[r#"rel="next""#]);
    stack.stop().await;
}

#[tokio::test]
async fn the_list_offers_only_what_the_role_may_do() {
    let stack = Stack::api_only(StackOptions::default()).await;
    add_submissions(&stack).await;
    let actions = [r#"data-bulk="retry""#, r#"data-bulk="cancel""#, r#"data-bulk="resend""#];
    let (comments, deleted) = (r#"name="comments""#, r#"name="deleted""#);

    let (_, admin) = read(&Staff::with_role(&stack, Role::Admin).await, "/admin", "en").await;
    assert_contains(&admin, &[comments, deleted, "data-select"]);
    assert_contains(&admin, &actions);
    let (_, operator) = read(&Staff::with_role(&stack, Role::Operator).await, "/admin", "en").await;
    assert_contains(&operator, &actions);
    assert_lacks(&operator, &[comments, deleted]);
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let (_, page) = read(&clinician, "/admin", "en").await;
    assert_contains(&page, &[comments]);
    assert_lacks(&page, &[deleted, "data-select"]);
    assert_lacks(&page, &actions);
    let (status, _) = read(&clinician, "/admin?deleted=only", "en").await;
    assert_eq!(status, 403);

    let patient = Staff::with_role(&stack, Role::Patient).await;
    assert_eq!(read(&patient, "/admin", "en").await.0, 403);
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let views = admin.audit("action=submissions_view").await;
    assert!(views.iter().all(|entry| entry["details"]["clinical"] != true), "{views:#?}");
    stack.stop().await;
}
