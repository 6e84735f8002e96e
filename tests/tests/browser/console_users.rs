//! Tests of the pages about users, the audit log, the settings and the dependencies.

use crate::support::{open_as, sign_in};
use diagflow_store::Role;
use diagflow_tests::browser::{Browser, Language, Page, Profile, Scheme, Screen};
use diagflow_tests::staff::create_account;
use diagflow_tests::{Stack, StackOptions};
use reqwest::Client;

const PHONE: Profile = Profile::new(Screen::Phone, Scheme::Dark, Language::German);
const DESKTOP: Profile = Profile::new(Screen::Desktop, Scheme::Light, Language::English);

#[tokio::test]
async fn the_pages_for_administrators_have_no_findings() {
    let stack = Stack::start().await;
    let browser = Browser::start().await;
    for role in [Role::Operator, Role::Clinician, Role::Service] {
        create_account(&stack, role).await;
    }
    for profile in [PHONE, DESKTOP] {
        let page = open_as(&stack, &browser, Role::Admin, profile).await;
        for (path, name) in [
            ("/admin/users", "console-users"),
            ("/admin/users?search=nobody", "console-users-none"),
            ("/admin/users/new", "console-user-new"),
            ("/admin/audit", "console-audit"),
            ("/admin/audit?object_kind=user&action=user_create", "console-audit-filtered"),
            ("/admin/settings", "console-settings"),
            ("/admin/health", "console-health"),
        ] {
            page.visit(path).await;
            page.element("h1").await;
            page.check(name).await;
        }
        page.visit("/admin/audit?from=yesterday").await;
        page.take_console().await;
        page.check("console-audit-invalid").await;
    }
    stack.stop().await;
}

async fn confirm(page: &Page, selector: &str, done: &str) {
    page.click(selector).await;
    page.click("#confirm-action").await;
    page.wait_for_text("#toasts", done).await;
}

#[tokio::test]
async fn administrators_create_change_and_disable_a_user() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    let page = open_as(&stack, &browser, Role::Admin, DESKTOP).await;
    page.visit("/admin/users/new").await;
    page.click("#new-user button").await;
    page.wait_until("document.activeElement.className === 'error-summary'").await;
    page.wait_for_text("#role-error", "Choose a role.").await;
    page.take_console().await;
    page.check("console-user-new-errors").await;

    page.fill("#name", "Ana López").await;
    page.fill("#email", "ana@example.org").await;
    page.evaluate(
        "(() => { const role = document.querySelector('#role'); role.value = 'clinician'; \
         role.dispatchEvent(new Event('change')); })()",
    )
    .await;
    page.wait_for_text("#role-meaning", "Reads submissions with photos").await;
    page.fill("#password", diagflow_tests::staff::PASSWORD).await;
    page.click("#new-user button").await;
    page.wait_for_text("#toasts", "The user has been created.").await;
    page.take_console().await;
    page.check("console-user").await;

    page.evaluate("document.querySelector('#name').value = ''").await;
    page.fill("#name", "Ana López García").await;
    page.click("#edit-user button").await;
    page.wait_for_text("#toasts", "The changes have been saved.").await;
    page.wait_for_text("h1", "Ana López García").await;

    let other = browser.open(&stack.client.url(""), PHONE).await;
    other.visit("/login").await;
    sign_in(&other, "ana@example.org").await;
    other.wait_for_address("a page for staff", |address| !address.starts_with("/login")).await;
    other.visit("/admin/users").await;
    other.wait_for_text("h1", "Sie haben keinen Zugriff auf diese Seite").await;
    other.take_console().await;
    other.check("console-forbidden").await;

    page.reload().await;
    assert_eq!(page.count(".table tbody tr").await, 1);
    confirm(&page, "[data-method=DELETE][data-path^='/api/v1/users/']", "has been disabled").await;
    page.check("console-user-disabled").await;
    other.visit("/account").await;
    assert!(other.address().await.starts_with("/login"), "{}", other.address().await);
    confirm(&page, "[data-method=PUT]", "has been enabled").await;
    stack.stop().await;
}

#[tokio::test]
async fn administrators_create_and_revoke_an_api_key() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    let (id, _) = create_account(&stack, Role::Service).await;
    let page = open_as(&stack, &browser, Role::Admin, PHONE).await;
    page.visit(&format!("/admin/users/{id}")).await;
    page.fill("#key-name", "Nightly export").await;
    page.click("#new-key button").await;
    page.wait_until("document.querySelector('#created-key').open").await;
    page.check("console-key-created").await;
    let key = page.text("#created-key-value").await;
    let list = async || {
        let call = Client::new().get(stack.client.url("/api/admin/submissions"));
        call.bearer_auth(&key).send().await.expect("a response").status().as_u16()
    };
    assert_eq!(list().await, 200);

    page.click("#created-key-done").await;
    page.wait_until("document.querySelectorAll('.table tbody tr').length === 1").await;
    assert!(!page.evaluate("document.body.innerHTML").await.to_string().contains(&key));
    page.check("console-user-keys").await;
    confirm(&page, ".table [data-method=DELETE]", "Der Schlüssel wurde widerrufen.").await;
    assert_eq!(list().await, 401);
    stack.stop().await;
}
