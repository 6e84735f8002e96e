//! Tests of a submission's page, which follows the submission to its result.

use crate::support::long_result;
use diagflow_tests::browser::{Browser, Language, Page, Profile, Scheme, Screen};
use diagflow_tests::ports::NOWHERE;
use diagflow_tests::{Stack, StackOptions};
use std::path::{Path, PathBuf};

const PHONE: Profile = Profile::new(Screen::Phone, Scheme::Light, Language::English);
const DESKTOP: Profile = Profile::new(Screen::Desktop, Scheme::Dark, Language::German);

fn photo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("photos").join(name)
}

fn stuck() -> StackOptions {
    StackOptions::default().scenario("stuck")
}

/// Sends photos with the form on the start page, which shows the submission's page.
async fn submit(page: &Page, email: &str) {
    page.visit("/").await;
    page.fill("#email", email).await;
    page.choose_files("#images", &[photo("retina.jpg"), photo("chelsea.png")]).await;
    page.click("#consent").await;
    page.click("#send").await;
    page.wait_for_address("the submission's page", |address| address.starts_with("/s/")).await;
}

fn title(page: &Page, english: &str, german: &str) -> String {
    page.profile.language.choose(english, german).to_owned()
}

async fn wait_until_photos_are_loaded(page: &Page) {
    page.wait_until(
        "[...document.querySelectorAll('#photos img')].every((it) => it.complete && it.naturalWidth > 0)",
    )
    .await;
}

#[tokio::test]
async fn the_page_follows_a_submission_to_its_result() {
    for profile in [PHONE, DESKTOP] {
        let stack = Stack::with(stuck()).await;
        let browser = Browser::start().await;
        let page = browser.open(&stack.client.url(""), profile).await;
        submit(&page, "ana@example.org").await;
        let processing =
            title(&page, "Your photos are being examined", "Ihre Fotos werden untersucht");
        page.wait_for_text("h1", &processing).await;
        page.wait_for_text("#connection", "Live").await;
        wait_until_photos_are_loaded(&page).await;
        page.check("submission-processing").await;

        page.evaluate("window.isSamePage = true").await;
        let execution = stack.wait_for_polls(0).await;
        stack.loopai.complete_with(&execution, long_result()).expect("in progress");

        page.wait_for_text("h1", &title(&page, "Your result", "Ihr Ergebnis")).await;
        page.wait_until("document.title.startsWith(document.querySelector('h1').textContent)")
            .await;
        let announced = "document.querySelector('#announcement').textContent.includes(\
             document.querySelector('h1').textContent)";
        page.wait_until(announced).await;
        assert_eq!(page.evaluate("window.isSamePage").await, true, "the page was loaded again");
        assert_eq!(page.count(".finding").await, 40);
        wait_until_photos_are_loaded(&page).await;
        page.wait_until("document.querySelector('#connection').hidden").await;
        page.wait_until("!document.querySelector('#print').hidden").await;
        page.click("#details summary").await;
        page.check("submission-result").await;
        stack.stop().await;
    }
}

#[tokio::test]
async fn the_focus_stays_during_an_update() {
    let stack = Stack::with(stuck()).await;
    let browser = Browser::start().await;
    let page = browser.open(&stack.client.url(""), PHONE).await;
    submit(&page, "ana@example.org").await;
    page.wait_for_text("h1", "Your photos are being examined").await;
    let delete = "document.querySelector('a[href$=delete]')";
    page.evaluate(&format!("{delete}.focus()")).await;
    page.evaluate(&format!("window.kept = {delete}")).await;

    stack.database.execute("UPDATE runs SET cancel_requested_at = NOW(6)").await;
    // The page requests itself again when it becomes visible.
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))").await;

    page.wait_for_text(".notice", "Your submission is being cancelled.").await;
    assert_eq!(
        page.evaluate(&format!(
            "document.activeElement === window.kept && {delete} === window.kept"
        ))
        .await,
        true
    );
    page.check("submission-cancelling").await;
    stack.stop().await;
}

#[tokio::test]
async fn the_page_survives_a_lost_network_and_a_restart() {
    let mut stack = Stack::with(stuck()).await;
    let browser = Browser::start().await;
    let page = browser.open(&stack.client.url(""), PHONE).await;
    submit(&page, "ana@example.org").await;
    page.wait_for_text("#connection", "Live").await;

    page.set_offline(true).await;
    page.wait_for_text("#connection", "Last update:").await;
    page.screenshot("submission-offline").await;
    stack.api.take().expect("a running process").kill();
    page.set_offline(false).await;
    page.wait_for_text("#connection", "Reconnecting.").await;
    stack.start_api().await;
    let execution = stack.wait_for_polls(0).await;
    stack.loopai.complete_with(&execution, long_result()).expect("in progress");

    page.wait_for_text("h1", "Your result").await;
    stack.stop().await;
}

#[tokio::test]
async fn a_submission_that_waits_is_cancelled_and_deleted() {
    for profile in [PHONE, DESKTOP] {
        let options = StackOptions::default().with("TEMPORAL_ADDRESS", NOWHERE);
        let stack = Stack::api_only(options).await;
        let browser = Browser::start().await;
        let page = browser.open(&stack.client.url(""), profile).await;
        let long = format!(
            "{}@{}.example.org",
            "m".repeat(64),
            "long-name.".repeat(16).trim_end_matches('.')
        );
        submit(&page, &long).await;
        page.wait_for_text("h1", &title(&page, "We have your photos", "Ihre Fotos sind bei uns"))
            .await;
        wait_until_photos_are_loaded(&page).await;
        page.check("submission-waiting").await;

        page.click("a[href$=cancel]").await;
        page.wait_for_text("h1", &title(&page, "Cancel the diagnosis?", "Diagnose abbrechen?"))
            .await;
        page.check("submission-cancel").await;
        page.click("form .button--danger").await;
        page.wait_for_text("h1", &title(&page, "was cancelled", "wurde abgebrochen")).await;
        wait_until_photos_are_loaded(&page).await;
        page.check("submission-cancelled").await;

        page.click("a[href$=delete]").await;
        page.wait_for_text(
            "h1",
            &title(&page, "Delete your photos", "Fotos und Ergebnis löschen?"),
        )
        .await;
        page.check("submission-delete").await;
        page.click("form .button--danger").await;
        page.wait_for_text("h1", &title(&page, "This data was deleted", "Diese Daten wurden"))
            .await;
        // The browser logs every response with an error.
        page.take_console().await;
        page.check("submission-deleted").await;
        stack.stop().await;
    }
}

#[tokio::test]
async fn failures_and_missing_access_are_explained() {
    let stack = Stack::with(StackOptions::default().scenario("fail")).await;
    let browser = Browser::start().await;
    for profile in [PHONE, DESKTOP] {
        let page = browser.open(&stack.client.url(""), profile).await;
        submit(&page, "ana@example.org").await;
        let failed = title(&page, "We could not complete", "Wir konnten Ihre Diagnose nicht");
        page.wait_for_text("h1", &failed).await;
        wait_until_photos_are_loaded(&page).await;
        page.check("submission-failed").await;
        let address = page.address().await;

        let other = browser.open(&stack.client.url(""), profile).await;
        other.visit(&address).await;
        let denied = title(&page, "We cannot show you", "Wir können Ihnen diese Einsendung");
        other.wait_for_text("h1", &denied).await;
        other.take_console().await;
        other.check("submission-denied").await;
    }
    stack.stop().await;
}
