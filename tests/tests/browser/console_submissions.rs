//! Tests of the console's list of submissions in a browser.

use crate::support::open_as;
use diagflow_store::{EmailAddress, EndStatus, Role, RunKey};
use diagflow_tests::browser::{Browser, Language, Page, Profile, Scheme, Screen};
use diagflow_tests::{Stack, StackOptions, eventually, seeding};

const DESKTOP: Profile = Profile::new(Screen::Desktop, Scheme::Light, Language::English);

async fn add_failed(stack: &Stack, email: &str) -> RunKey {
    let run = seeding::submission(&stack.store, email, "", None).await;
    seeding::end(&stack.store, run, EndStatus::Failed, "loopai_failed").await;
    run
}

async fn wait_for_rows(page: &Page, count: usize) {
    page.wait_until(&format!(
        "document.querySelectorAll('#submissions tbody tr').length === {count}"
    ))
    .await;
}

fn row(run: RunKey, selector: &str) -> String {
    format!("#row-{} {selector}", run.submission)
}

#[tokio::test]
async fn the_list_is_usable_on_every_screen_and_in_every_language() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let longest = format!("{}@{}.example.org", "a".repeat(64), "b".repeat(60));
    let _: EmailAddress = longest.parse().expect("a valid address");
    add_failed(&stack, &longest).await;
    let completed = seeding::submission(&stack.store, "ben@example.org", "", None).await;
    seeding::complete(&stack.store, completed).await;
    let browser = Browser::start().await;
    for profile in Profile::all() {
        let page = open_as(&stack, &browser, Role::Admin, profile).await;
        page.visit("/admin").await;
        page.check("console-list").await;
        page.visit("/admin?status=failed&error_code=loopai_failed&deleted=with").await;
        page.check("console-list-filters").await;
        page.visit("/admin?email=nobody@example.org").await;
        page.check("console-list-no-match").await;
        page.visit("/admin").await;
        page.click("#select-all").await;
        page.wait_until("!document.querySelector('#actions').hidden").await;
        page.check("console-list-selected").await;
    }
    stack.stop().await;
}

#[tokio::test]
async fn changes_appear_at_once_but_not_while_rows_are_selected() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    let page = open_as(&stack, &browser, Role::Operator, DESKTOP).await;
    page.visit("/admin").await;
    page.wait_for_text("#connection", "Live").await;
    let first = add_failed(&stack, "ana@example.org").await;
    wait_for_rows(&page, 1).await;

    page.click(&row(first, "[data-select]")).await;
    page.wait_for_text("#selected-count", "Selected: 1").await;
    add_failed(&stack, "ben@example.org").await;
    page.wait_for_text("#changes", "Show changes (1)").await;
    assert_eq!(page.count("#submissions tbody tr").await, 1);
    page.click("#show-changes").await;
    wait_for_rows(&page, 2).await;
    page.check("console-list-updated").await;
    stack.stop().await;
}

#[tokio::test]
async fn selected_submissions_are_retried_after_a_confirmation() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    let first = add_failed(&stack, "ana@example.org").await;
    let second = add_failed(&stack, "ben@example.org").await;
    let page = open_as(&stack, &browser, Role::Operator, DESKTOP).await;
    page.visit("/admin").await;
    page.click(&row(first, "[data-select]")).await;
    page.click("[data-bulk=retry]").await;
    page.wait_for_text("#confirm-title", "Retry submissions (1)").await;
    page.wait_for_text("#confirm-text", "Failed: 1.").await;
    page.check("console-list-confirm").await;
    page.fill("#confirm-reason", "LoopAI was down").await;
    page.click("#confirm-action").await;
    page.wait_for_text("#toasts", "Submissions changed: 1").await;
    page.wait_until(&format!("!document.querySelector('{}')", row(first, ".status--failed"))).await;
    assert!(page.has(&row(second, ".status--failed")).await, "only one row was selected");

    // Somebody else retries the other submission while the dialog is open.
    page.click(&row(second, "[data-select]")).await;
    page.click("[data-bulk=retry]").await;
    page.wait_for_text("#confirm-text", "Failed: 1.").await;
    let entry = seeding::audit_entry(diagflow_store::Action::SubmissionRetry);
    let retried =
        stack.store.retry_submission(second.submission, std::time::Duration::ZERO, &entry).await;
    retried.expect("retried");
    page.fill("#confirm-reason", "LoopAI was down").await;
    page.click("#confirm-action").await;
    page.wait_for_text("#confirm-error", "The list has changed").await;
    page.take_console().await;
    page.click("#confirm-dismiss").await;
    page.wait_until(&format!("!document.querySelector('{}')", row(second, ".status--failed")))
        .await;
    stack.stop().await;
}

#[tokio::test]
async fn the_list_can_be_used_with_the_keyboard() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    let older = add_failed(&stack, "ana@example.org").await;
    add_failed(&stack, "ben@example.org").await;
    let page = open_as(&stack, &browser, Role::Operator, DESKTOP).await;
    page.visit("/admin").await;
    page.wait_for_text("#connection", "Live").await;
    let press = async |key: &str| {
        let script = format!(
            "(document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent('keydown', \
             {{key: '{key}', bubbles: true, cancelable: true}}))"
        );
        page.evaluate(&script).await;
    };
    for key in ["j", "j", "x"] {
        press(key).await;
    }
    assert!(page.has(&row(older, ":checked")).await, "the second row is selected");
    press("/").await;
    assert_eq!(page.evaluate("document.activeElement.id").await, "email");
    // In a field, the keys are text.
    press("?").await;
    assert!(!page.has("#keys[open]").await);
    page.evaluate("document.activeElement.blur()").await;
    press("?").await;
    eventually("the help", || async { page.has("#keys[open]").await.then_some(()) }).await;
    page.check("console-list-keys").await;
    stack.stop().await;
}
