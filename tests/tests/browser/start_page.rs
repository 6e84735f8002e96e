//! Tests of the form on the start page with scripts.

use diagflow_tests::browser::{Browser, Language, Page, Profile, Scheme, Screen};
use diagflow_tests::{Stack, StackOptions};
use std::path::{Path, PathBuf};

const PHONE: Profile = Profile::new(Screen::Phone, Scheme::Light, Language::German);
const DESKTOP: Profile = Profile::new(Screen::Desktop, Scheme::Dark, Language::English);

/// The names in the list of chosen photos, and the names of the files that the form sends.
const CHOSEN: &str =
    "[...document.querySelectorAll('.chosen__name')].map((name) => name.textContent).join()";
const SENT: &str = "[...document.querySelector('#images').files].map((file) => file.name).join()";

fn photo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("photos").join(name)
}

async fn fill_form(page: &Page) {
    page.visit("/").await;
    page.fill("#email", "ana@example.org").await;
    page.choose_files("#images", &[photo("retina.jpg")]).await;
    page.click("#consent").await;
}

async fn is_submission_page(page: &Page) {
    page.wait_for_address("the submission's page", |address| address.starts_with("/s/")).await;
}

#[tokio::test]
async fn chosen_photos_can_be_moved_and_removed() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    let page = browser.open(&stack.client.url(""), DESKTOP).await;
    page.visit("/").await;
    page.choose_files("#images", &[photo("retina.jpg"), photo("chelsea.png")]).await;
    page.wait_for_text("#chosen", "1. retina.jpg").await;
    page.wait_for_text(".chosen__photo:last-child", "This photo is small").await;

    page.click(".chosen__photo:first-child [data-action=down]").await;
    assert_eq!(page.evaluate(CHOSEN).await, "1. chelsea.png,2. retina.jpg");
    assert_eq!(page.evaluate(SENT).await, "chelsea.png,retina.jpg");
    let status = page.evaluate("document.querySelector('#photos-status').textContent").await;
    assert_eq!(status, "retina.jpg is now photo 2.");

    page.click(".chosen__photo:first-child [data-action=remove]").await;
    assert_eq!(page.evaluate(SENT).await, "retina.jpg");
    let focus = page.evaluate("document.activeElement.textContent.replace(/\\s+/g, ' ')").await;
    assert_eq!(focus, "Remove retina.jpg");
    page.choose_files("#images", &[photo("chelsea.png")]).await;
    page.wait_until("document.querySelector('#images').files.length === 2").await;
    page.check("start-chosen").await;
    stack.stop().await;
}

#[tokio::test]
async fn errors_are_shown_without_losing_the_chosen_photos() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    for profile in [PHONE, DESKTOP] {
        let page = browser.open(&stack.client.url(""), profile).await;
        page.visit("/").await;
        page.choose_files("#images", &[photo("retina.jpg"), photo("chelsea.png")]).await;
        page.fill("#email", "ana@").await;
        page.click("#send").await;

        page.wait_until("document.activeElement.id === 'error-summary'").await;
        // The browser logs every response with an error.
        page.take_console().await;
        assert_eq!(page.count("#error-summary a").await, 2);
        assert!(page.has("#email[aria-invalid=true]").await);
        let error = profile.language.choose("Error: ", "Fehler: ");
        page.wait_until(&format!("document.title.startsWith('{error}')")).await;
        assert_eq!(page.evaluate(SENT).await, "retina.jpg,chelsea.png");
        page.check("start-errors").await;

        page.fill("#email", "ana@example.org").await;
        page.click("#consent").await;
        page.click("#send").await;
        is_submission_page(&page).await;
    }
    assert_eq!(stack.database.count_rows("submissions").await, 2);
    stack.stop().await;
}

#[tokio::test]
async fn a_form_is_sent_again_after_the_connection_was_lost() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    let page = browser.open(&stack.client.url(""), DESKTOP).await;
    fill_form(&page).await;

    page.set_offline(true).await;
    page.click("#send").await;
    page.wait_for_text("#progress-text", "You are offline.").await;
    page.set_offline(false).await;

    is_submission_page(&page).await;
    assert_eq!(stack.database.count_rows("submissions").await, 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_form_is_sent_again_once_the_api_is_back() {
    let mut stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    let page = browser.open(&stack.client.url(""), DESKTOP).await;
    fill_form(&page).await;

    stack.api.take().expect("a running process").kill();
    page.click("#send").await;
    page.wait_for_text("#progress-text", "The connection was lost.").await;
    stack.start_api().await;

    is_submission_page(&page).await;
    assert_eq!(stack.database.count_rows("submissions").await, 1);
    stack.stop().await;
}
