//! Tests of the page `/admin/overview`, with its chart and the pauses.

use crate::support::open_as;
use diagflow_store::{EndStatus, Role};
use diagflow_tests::browser::{Browser, Language, Profile, Scheme, Screen};
use diagflow_tests::{Stack, StackOptions, photos, seeding};

const DESKTOP: Profile = Profile::new(Screen::Desktop, Scheme::Light, Language::English);
const PAGE: &str = "/admin/overview";
const CHART: &str = "#hours-chart canvas";

/// Stores submissions that were received over two days.
async fn store_submissions(stack: &Stack) {
    let store = &stack.store;
    for number in 0..40 {
        let run = seeding::submission(store, "ana@example.org", "", None).await;
        match number {
            0..3 => {}
            3..6 => seeding::end(store, run, EndStatus::TimedOut, "deadline_exceeded").await,
            6..8 => seeding::end(store, run, EndStatus::Failed, "loopai_refused").await,
            _ => seeding::complete(store, run).await,
        }
    }
    let received = "created_at - INTERVAL POW(CRC32(id) % 7, 2) HOUR";
    stack.database.execute(&format!("UPDATE submissions SET created_at = {received}")).await;
    store.recount_submissions().await.expect("counted");
}

/// Returns an expression that dispatches a mouse event on the bar of the current hour.
fn event_on_last_bar(name: &str) -> String {
    format!(
        "(() => {{ const chart = document.querySelector('#hours-chart .u-over');
            const {{ right, top }} = chart.getBoundingClientRect();
            const place = {{ clientX: right - 3, clientY: top + 9, movementX: 1, bubbles: true }};
            return chart.dispatchEvent(new MouseEvent('{name}', place)); }})()"
    )
}

#[tokio::test]
async fn the_overview_has_no_findings() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    let empty = open_as(&stack, &browser, Role::Clinician, DESKTOP).await;
    empty.visit(PAGE).await;
    empty.wait_for_text("#hours-summary", "There were no submissions").await;
    empty.check("overview-empty").await;

    store_submissions(&stack).await;
    for profile in Profile::all() {
        let page = open_as(&stack, &browser, Role::Operator, profile).await;
        page.visit(PAGE).await;
        page.element(CHART).await;
        page.measure("overview").await;
        page.check("overview").await;
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_numbers_behind_the_chart_are_a_table_and_a_bar_leads_to_its_submissions() {
    let stack = Stack::api_only(StackOptions::default()).await;
    seeding::submission(&stack.store, "ana@example.org", "", None).await;
    let browser = Browser::start().await;
    let page = open_as(&stack, &browser, Role::Operator, DESKTOP).await;
    page.visit(PAGE).await;
    page.element(CHART).await;

    page.click("#hours-numbers summary").await;
    page.wait_for_text("#hours tbody tr:first-child .number", "1").await;
    page.evaluate(&event_on_last_bar("mousemove")).await;
    page.wait_until("document.querySelector('#hours-readout').textContent.endsWith(': 1')").await;
    // Without the other two events, the chart would take the click for the end of a drag.
    for event in ["mousedown", "mouseup", "click"] {
        page.evaluate(&event_on_last_bar(event)).await;
    }

    page.wait_for_address("the list", |address| address.starts_with("/admin?created_from=")).await;
    stack.stop().await;
}

#[tokio::test]
async fn staff_pause_diagnoses_and_patients_see_it() {
    let stack = Stack::with(StackOptions::default()).await;
    let browser = Browser::start().await;
    let staff = open_as(&stack, &browser, Role::Operator, DESKTOP).await;
    staff.visit(PAGE).await;
    staff.element(CHART).await;

    staff.click("#pause-loopai_requests").await;
    staff.wait_for_text("#confirm-title", "Pause diagnoses?").await;
    staff.check("overview-pause").await;
    staff.click("#confirm-action").await;
    staff.wait_for_text("#confirm-reason-error", "Enter a reason").await;
    staff.fill("#confirm-reason", "LoopAI is being updated").await;
    staff.click("#confirm-action").await;
    staff.wait_for_text("#toasts", "Diagnoses are paused.").await;
    staff.wait_for_text("#parts", "LoopAI is being updated").await;
    staff.wait_for_text("#now", "Diagnoses are paused.").await;
    staff.check("overview-paused").await;

    let patient = browser.open(&stack.client.url(""), DESKTOP).await;
    patient.visit("/").await;
    patient.fill("#email", "ana@example.org").await;
    patient.choose_files("#images", &[photos::path("retina.jpg")]).await;
    patient.click("#consent").await;
    patient.click("#send").await;
    patient.wait_for_text("main", "Our team has paused diagnoses").await;

    staff.click("#pause-loopai_requests").await;
    staff.fill("#confirm-reason", "The update is done").await;
    staff.click("#confirm-action").await;
    staff.wait_for_text("#toasts", "Diagnoses have been resumed.").await;
    staff.wait_until("document.querySelector('#now .notice') === null").await;
    patient.wait_until("!document.querySelector('main').textContent.includes('paused')").await;
    stack.stop().await;
}

#[tokio::test]
async fn the_figures_are_updated_without_loading_the_page_again_when_the_access_token_expires() {
    let options = StackOptions::default().with("ACCESS_TOKEN_LIFETIME_SECONDS", "1");
    let stack = Stack::api_only(options).await;
    let browser = Browser::start().await;
    let page = open_as(&stack, &browser, Role::Operator, DESKTOP).await;
    page.visit(PAGE).await;
    page.wait_for_text("#hours-summary", "There were no submissions").await;
    page.evaluate("window.isSamePage = true").await;
    seeding::submission(&stack.store, "ana@example.org", "", None).await;

    // The page is updated when it becomes visible. After 3 seconds, the token has certainly expired.
    let update = "document.dispatchEvent(new Event('visibilitychange'))";
    let updated = "Date.parse(document.querySelector('#updated time').dateTime)";
    let start = page.evaluate(updated).await;
    page.wait_until(&format!("{update} && {updated} > {start} + 3000")).await;

    page.element(CHART).await;
    page.wait_for_text("#hours-summary", "1 submission in the last 48 hours.").await;
    assert_eq!(page.evaluate("window.isSamePage").await, true);
    stack.stop().await;
}
