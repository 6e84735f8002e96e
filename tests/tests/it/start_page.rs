//! Tests of the form on the start page, sent as a browser without scripts sends it.

use diagflow_tests::photos::{self, Photo};
use diagflow_tests::{Stack, StackOptions};
use reqwest::multipart::{Form, Part};
use reqwest::redirect::Policy;
use reqwest::{Response, header};

fn browser() -> reqwest::Client {
    reqwest::Client::builder().redirect(Policy::none()).build().expect("an HTTP client")
}

fn form(key: &str, comments: &str, photos: &[Photo]) -> Form {
    let form = Form::new()
        .text("idempotency_key", key.to_owned())
        .text("email", "ana@example.org")
        .text("comments", comments.to_owned());
    let form = photos.iter().fold(form, |form, photo| {
        form.part("images", Part::bytes(photo.bytes.clone()).file_name(photo.name))
    });
    // An unused file input.
    form.part("images", Part::bytes(Vec::new()).file_name("")).text("consent", "true")
}

async fn send(stack: &Stack, form: Form) -> Response {
    let request = browser().post(stack.client.url("/")).multipart(form);
    request.send().await.expect("a response")
}

fn submission_page(response: &Response) -> String {
    assert_eq!(response.status(), 303);
    let location = response.headers()[header::LOCATION].to_str().expect("text");
    assert!(location.starts_with("/s/"), "{location}");
    location.to_owned()
}

#[tokio::test]
async fn a_valid_form_leads_to_the_submissions_page_with_access_to_it() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let response = send(&stack, form("key-1", "since Monday", &[photos::retina()])).await;
    let page = submission_page(&response);
    let cookies = response.headers().get_all(header::SET_COOKIE).iter();
    let cookies: Vec<_> = cookies.map(|cookie| cookie.to_str().expect("text")).collect();
    let of_page = cookies.iter().find(|cookie| cookie.ends_with(&format!("Path={page}")));
    assert!(of_page.is_some_and(|cookie| cookie.contains("HttpOnly")), "{cookies:?}");

    let status = page.replace("/s/", "/api/user/status/");
    let cookie = cookies.iter().find(|cookie| cookie.ends_with(&format!("Path={status}")));
    let (cookie, _) = cookie.expect("a cookie").split_once(';').expect("attributes");
    let request = browser().get(stack.client.url(&status)).header(header::COOKIE, cookie);
    assert_eq!(request.send().await.expect("a response").status(), 200);
    stack.stop().await;
}

#[tokio::test]
async fn a_form_that_is_sent_twice_is_stored_once() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let photo = [photos::retina()];
    let first = send(&stack, form("key-1", "since Monday", &photo)).await;
    let second = send(&stack, form("key-1", "since Monday", &photo)).await;
    assert_eq!(submission_page(&first), submission_page(&second));
    assert_eq!(stack.database.count_rows("submissions").await, 1);

    // The patient goes back, changes the form and sends it again.
    let changed = send(&stack, form("key-1", "since Tuesday", &photo)).await;
    assert_eq!(changed.status(), 422);
    let page = changed.text().await.expect("a page");
    assert!(page.contains("You have already sent this form with other content."), "{page}");
    let (_, rest) = page.split_once("name=\"idempotency_key\" value=\"").expect("a key");
    let (key, _) = rest.split_once('"').expect("the end of the key");
    assert_ne!(key, "key-1");
    let third = send(&stack, form(key, "since Tuesday", &photo)).await;
    assert_ne!(submission_page(&third), submission_page(&first));
    assert_eq!(stack.database.count_rows("submissions").await, 2);
    stack.stop().await;
}
