//! Tests of the page of a submission for staff: what it contains for which role, and what it must not contain.

use diagflow_store::Role;
use diagflow_tests::assertions::{failed, wait_ended_once};
use diagflow_tests::responses::{body, refusal};
use diagflow_tests::{AcceptedSubmission, Proxy, Stack, StackOptions, Staff, servers};
use serde_json::json;

fn path(submission: &AcceptedSubmission) -> String {
    format!("/admin/submissions/{}", submission.submission_id)
}

async fn read_page(staff: &Staff, path: &str) -> String {
    let response = staff.get(path).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.text().await.expect("a page")
}

fn assert_contains(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text} in {page}");
    }
}

fn assert_lacks(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(!page.contains(text), "{text} in {page}");
    }
}

#[tokio::test]
async fn each_role_sees_only_what_it_may_see_and_do() {
    let (stack, accepted) = Stack::with_submission(StackOptions::default()).await;
    stack.wait_for_status(&accepted, "completed").await;
    let path = path(&accepted);
    // The names of photos and the comments are personal data, which no page contains.
    let personal = ["ana@example.org", "itches", "retina.jp"];

    let admin = read_page(&Staff::with_role(&stack, Role::Admin).await, &path).await;
    assert_contains(&admin, &["a…@example.org", "/api/admin/files/", "data-open=\"erase\""]);
    assert_contains(&admin, &["/retry\"", "class=\"findings\"", "data-history="]);
    assert_lacks(&admin, &personal);
    let operator = read_page(&Staff::with_role(&stack, Role::Operator).await, &path).await;
    assert_contains(&operator, &["/retry\"", "data-open=\"address\"", "data-history="]);
    let clinical = ["/api/admin/files/", "class=\"findings\"", "data-personal=\"comments\""];
    assert_lacks(&operator, &clinical);
    assert_lacks(&operator, &["data-open=\"erase\"", "data-method=\"DELETE\""]);
    assert_lacks(&operator, &personal);
    let clinician = read_page(&Staff::with_role(&stack, Role::Clinician).await, &path).await;
    assert_contains(&clinician, &clinical);
    assert_contains(&clinician, &["data-open=\"note\""]);
    assert_lacks(&clinician, &["/retry\"", "/resend\"", "data-open=\"address\"", "data-history="]);
    assert_lacks(&clinician, &personal);
    let institution = Staff::with_role(&stack, Role::Institution).await;
    assert_eq!(institution.get(&path).await.status(), 403);
    stack.stop().await;
}

#[tokio::test]
async fn revealing_personal_data_is_audited_and_respects_permissions() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let photo = diagflow_tests::photos::retina();
    let accepted = stack.client.submit("ana@example.org", "itches", &[photo]).await;
    let id = &accepted.submission_id;
    let reveal = format!("/api/admin/submissions/{id}/reveal");
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;

    let full = body(clinician.post(&reveal, &json!({})).await).await;
    assert_eq!((&full["email"], &full["comments"]), (&"ana@example.org".into(), &"itches".into()));
    assert_eq!(full["file_names"].as_array().map(Vec::len), Some(1), "{full}");
    let restricted = body(operator.post(&reveal, &json!({})).await).await;
    assert_eq!(restricted["email"], "ana@example.org");
    assert!(restricted.get("comments").is_none() && restricted.get("file_names").is_none());
    let unknown = reveal.replace(id.as_str(), "0197b2f2-0000-7000-8000-000000000001");
    let refused = refusal(operator.post(&unknown, &json!({})).await).await;
    assert_eq!(refused, (404, "not_found".to_owned()));

    let entries = stack
        .database
        .audit_rows(
            "SELECT CONCAT_WS(' ', result, actor_name, details) FROM audit \
             WHERE action = 'submission_reveal' ORDER BY number",
        )
        .await;
    let [clinician, operator] = [clinician, operator].map(|it| it.email);
    let expected = [
        format!(r#"success {clinician} {{"clinical":true}}"#),
        format!(r#"success {operator} {{"clinical":false}}"#),
        format!("not_found {operator} {{}}"),
    ];
    assert_eq!(entries, expected);
    stack.stop().await;
}

#[tokio::test]
async fn a_failed_submission_shows_the_cause_and_its_story_in_german() {
    let temporal = Proxy::to(&servers::temporal()).await;
    let options =
        StackOptions::default().scenario("fail").with("TEMPORAL_ADDRESS", temporal.address());
    let (stack, accepted) = Stack::with_submission(options).await;
    wait_ended_once(&stack, &accepted, failed("loopai_failed")).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let german = async || {
        let request = admin.request(reqwest::Method::GET, &path(&accepted));
        let response = request.header("accept-language", "de").send().await.expect("a response");
        assert_eq!(response.status(), 200);
        response.text().await.expect("a page")
    };

    let page = german().await;
    let cause = page.find("LoopAI konnte diese Fotos nicht auswerten.").expect("the cause");
    let story = page.find("id=\"timeline-title\"").expect("the story");
    assert!(cause < story, "the cause comes first");
    assert_contains(&page, &["LoopAI wurde", "In der Temporal-Oberfläche öffnen"]);
    assert_contains(&page, &["phases__bar--waiting", "phases__bar--loopai", "phases__bar--email"]);

    temporal.cut();
    let page = german().await;
    assert_contains(&page, &["Temporal ist nicht erreichbar.", "Fotos erhalten"]);
    assert_lacks(&page, &["LoopAI wurde"]);
    stack.stop().await;
}
