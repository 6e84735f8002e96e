//! Tests of the links in e-mails, which open a submission's page on another device.

use diagflow_simulators::mail::Mail;
use diagflow_store::{EmailLinkCode, EmailLinkKey, Role};
use diagflow_tests::assertions::{delivery, wait_completed_once};
use diagflow_tests::client::expect_accepted;
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::stack::id_of;
use diagflow_tests::{AcceptedSubmission, ApiClient, Stack, StackOptions, Staff, photos};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, header};
use serde_json::json;
use std::sync::Arc;

const SECRET: &str = "a secret key for tests of links in e-mails";
const ADDRESS: &str = "ana@example.org";

async fn completed_submission() -> (Stack, AcceptedSubmission) {
    let options = StackOptions::default().with("SECRET_KEY", SECRET);
    let (stack, submission) = Stack::with_submission(options).await;
    wait_completed_once(&stack, &submission).await;
    (stack, submission)
}

async fn mail_with_subject(stack: &Stack, subject: &str) -> Arc<Mail> {
    let mail = stack.mail.wait_for(|mail| mail.subject == subject, LIMIT).await.expect("a mail");
    assert_eq!(mail.to, [ADDRESS]);
    mail
}

/// Returns the URL of the link in an e-mail.
fn link(mail: &Mail) -> String {
    let text = mail.text.as_deref().expect("text");
    let mut links = text.split_whitespace().filter(|word| word.starts_with("http"));
    let link = links.next().expect("a link");
    assert_eq!(links.next(), None);
    assert!(mail.html.as_deref().expect("HTML").contains(&format!("href=\"{link}\"")));
    link.to_owned()
}

async fn link_in_mail(stack: &Stack, subject: &str) -> String {
    let mail = mail_with_subject(stack, subject).await;
    link(&mail)
}

fn browser() -> reqwest::Client {
    reqwest::Client::builder().redirect(Policy::none()).build().expect("an HTTP client")
}

async fn open(url: &str) -> Response {
    browser().get(url).send().await.expect("a response")
}

async fn press_button(url: &str) -> Response {
    browser().post(url).send().await.expect("a response")
}

/// Asserts that the response is a page with this title, and gives no access.
async fn expect_page(response: Response, status: u16, title: &str) {
    assert_eq!(response.status(), status);
    assert!(!response.headers().contains_key(header::SET_COOKIE));
    let page = response.text().await.expect("a page");
    assert!(page.contains(&format!("<title>{title} – Diagflow</title>")), "{page}");
}

fn cookie(response: &Response, path: &str) -> String {
    let mut cookies = response.headers().get_all(header::SET_COOKIE).iter();
    let of_path = cookies.find_map(|cookie| {
        let cookie = cookie.to_str().expect("text");
        cookie.ends_with(&format!("Path={path}")).then(|| cookie.split(';').next())?
    });
    of_path.expect("a cookie").to_owned()
}

async fn count_new_links(stack: &Stack) -> i64 {
    stack.database.number("SELECT COUNT(*) FROM deliveries WHERE kind = 'link'").await
}

#[tokio::test]
async fn a_link_gives_one_browser_access_and_is_not_used_up_by_a_mail_scanner() {
    let (stack, submission) = completed_submission().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let url = link_in_mail(&stack, "Your diagnosis result").await;
    for _ in 0..2 {
        expect_page(open(&url).await, 200, "Open your submission").await;
    }

    let (one, other) = tokio::join!(press_button(&url), press_button(&url));

    let (granted, refused) = if one.status() == 303 { (one, other) } else { (other, one) };
    expect_page(refused, 200, "This link no longer works").await;
    assert_eq!(granted.status(), 303);
    let page = format!("/s/{}", submission.submission_id);
    assert_eq!(granted.headers()[header::LOCATION], page.as_str());
    for path in [page.clone(), page.replace("/s/", "/api/user/status/")] {
        let request = browser().get(stack.client.url(&path));
        let request = request.header(header::COOKIE, cookie(&granted, &path));
        assert_eq!(request.send().await.expect("a response").status(), 200, "{path}");
    }
    expect_page(open(&url).await, 200, "This link no longer works").await;
    let entries = admin.audit("action=submission_link_open").await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0]["object_id"], submission.submission_id.as_str());
    assert_eq!(entries[0]["details"]["credential"], "email_link");
    stack.stop().await;
}

#[tokio::test]
async fn a_link_that_no_longer_works_is_replaced_at_most_three_times_a_day() {
    let (stack, submission) = completed_submission().await;
    let before = stack.client.status(&submission).await.expect("a response");
    let code = EmailLinkCode { delivery: delivery(&stack, &submission).await.id, expires: 1 };
    let path = EmailLinkKey::new(&SECRET.into()).path(id_of(&submission), code);
    let expired = stack.client.url(&path);
    expect_page(open(&expired).await, 200, "This link has expired").await;
    expect_page(press_button(&expired).await, 200, "This link has expired").await;
    assert_eq!(count_new_links(&stack).await, 0);

    for _ in 0..5 {
        let response = press_button(&format!("{expired}/new")).await;
        assert_eq!(response.status(), 303);
        let confirmation = response.headers()[header::LOCATION].to_str().expect("text");
        expect_page(open(&stack.client.url(confirmation)).await, 200, "Look for our e-mail").await;
    }

    assert_eq!(count_new_links(&stack).await, 3);
    let url = link_in_mail(&stack, "Your new link").await;
    assert_eq!(press_button(&url).await.status(), 303);
    // E-mails with links do not count as the e-mail with the result, even if the latest one failed.
    let failed = "INSERT INTO deliveries (id, submission_id, run_number, kind, status, attempts, created_at, \
                  settled_at, copy) SELECT UUID(), id, 0, 'link', 'failed', 1, NOW(6), NOW(6), 9 FROM submissions";
    stack.database.execute(failed).await;
    let after = stack.client.status(&submission).await.expect("a response");
    for field in ["email_status", "step", "message"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_link_gives_no_access_to_revoked_deleted_or_erased_submissions() {
    let (stack, submission) = completed_submission().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let url = link_in_mail(&stack, "Your diagnosis result").await;
    let path = format!("/api/admin/submissions/{}", submission.submission_id);
    expect_page(press_button(&url[..url.len() - 1]).await, 404, "Page not found").await;
    let other = url.replace(&submission.submission_id, "00000000-0000-4000-8000-000000000000");
    expect_page(press_button(&other).await, 404, "Page not found").await;

    let set_revoked = async |value: &str| {
        let statement = format!("UPDATE submissions SET token_revoked_at = {value}");
        stack.database.execute(&statement).await;
    };
    set_revoked("NOW(6)").await;
    expect_page(press_button(&url).await, 404, "Page not found").await;
    expect_page(open(&url).await, 404, "Page not found").await;
    assert_eq!(press_button(&format!("{url}/new")).await.status(), 303);
    set_revoked("NULL").await;

    let request = admin.request(Method::DELETE, &path).json(&json!({"reason": "asked to"}));
    assert_eq!(request.send().await.expect("a response").status(), 200);
    expect_page(press_button(&url).await, 404, "Page not found").await;
    assert_eq!(press_button(&format!("{url}/new")).await.status(), 303);

    let reason = json!({"reason": "asked to", "confirm": submission.submission_id});
    let erased = admin.post(&format!("{path}/erase"), &reason).await;
    assert!(erased.status().is_success(), "{}", erased.status());
    expect_page(press_button(&url).await, 410, "This data was deleted").await;
    assert_eq!(press_button(&format!("{url}/new")).await.status(), 303);
    assert_eq!(count_new_links(&stack).await, 0);
    stack.stop().await;
}

#[tokio::test]
async fn a_link_sent_to_a_wrong_address_is_disabled_when_staff_correct_the_address() {
    let (stack, submission) = completed_submission().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let url = link_in_mail(&stack, "Your diagnosis result").await;
    let path = format!("/api/admin/submissions/{}", submission.submission_id);
    let etag = admin.get(&path).await.headers()[header::ETAG].clone();
    let change = json!({"email": "bo@example.org", "resend": true, "reason": "mistyped"});
    let request = admin.request(Method::PATCH, &path).header(header::IF_MATCH, etag).json(&change);
    assert_eq!(request.send().await.expect("a response").status(), 200);

    expect_page(press_button(&url).await, 200, "This link no longer works").await;

    let resent = stack.mail.wait_for(|mail| mail.to == ["bo@example.org"], LIMIT).await;
    let resent = resent.expect("a mail");
    assert_eq!(press_button(&link(&resent)).await.status(), 303);
    stack.stop().await;
}

#[tokio::test]
async fn emails_are_in_the_language_that_the_patient_prefers() {
    let stack = Stack::start().await;
    let body = ApiClient::submission_body(ADDRESS, "juckt", &[photos::retina()]);
    let request = browser().post(stack.client.url("/api/user/submit")).json(&body);
    let request = request.header(header::ACCEPT_LANGUAGE, "de-AT,de;q=0.9,en;q=0.8");
    let submission = expect_accepted(request.send().await.expect("a response")).await;
    stack.wait_for_status(&submission, "completed").await;

    let mail = mail_with_subject(&stack, "Ihr Untersuchungsergebnis").await;

    let language = mail.headers.iter().find(|header| header.name == "Content-Language");
    assert_eq!(language.map(|header| header.value.as_str()), Some("de"));
    let (text, html) = (mail.text.as_deref(), mail.html.as_deref());
    assert!(html.expect("HTML").contains("<html lang=\"de\">"));
    for body in [text, html].map(|body| body.expect("a body")) {
        for expected in
            ["Was gefunden wurde", "Mein Ergebnis öffnen", "Es ersetzt keinen Arztbesuch."]
        {
            assert!(body.to_lowercase().contains(&expected.to_lowercase()), "{expected}: {body}");
        }
        for english in ["Your ", "What ", "Reference", "Confidence"] {
            assert!(!body.contains(english), "{english}: {body}");
        }
    }
    stack.stop().await;
}

#[tokio::test]
async fn an_email_may_contain_only_the_link_to_the_result() {
    let options = StackOptions::default().with("MAIL_CONTENT", "link");
    let (stack, submission) = Stack::with_submission(options).await;
    let document = stack.wait_for_status(&submission, "completed").await;

    let mail = mail_with_subject(&stack, "Your result is ready").await;

    let result = &document["result"];
    let findings = result["findings"].as_array().expect("findings");
    let secrets = findings.iter().flat_map(|finding| [&finding["label"], &finding["description"]]);
    let advice = result["recommendations"].as_array().expect("recommendations");
    let secrets = secrets.chain(advice).chain([&result["summary"]]);
    for secret in secrets.map(|secret| secret.as_str().expect("text")).chain(["itches"]) {
        let raw = String::from_utf8_lossy(&mail.raw);
        for body in [mail.text.as_deref(), mail.html.as_deref(), Some(&raw)] {
            assert!(!body.expect("a body").contains(secret), "{secret}");
        }
    }
    assert_eq!(press_button(&link(&mail)).await.status(), 303);
    stack.stop().await;
}
