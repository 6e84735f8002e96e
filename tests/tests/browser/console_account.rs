//! Tests of the sign-in page and of the caller's own account.

use crate::support::{open_as, sign_in};
use diagflow_store::Role;
use diagflow_tests::browser::{Browser, Language, Profile, Scheme, Screen};
use diagflow_tests::staff::create_account;
use diagflow_tests::{Stack, StackOptions, Staff};

const PHONE: Profile = Profile::new(Screen::Phone, Scheme::Light, Language::German);
const DESKTOP: Profile = Profile::new(Screen::Desktop, Scheme::Dark, Language::English);

#[tokio::test]
async fn staff_return_to_the_page_that_they_wanted_to_open() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let (_, email) = create_account(&stack, Role::Admin).await;
    let browser = Browser::start().await;
    for profile in [PHONE, DESKTOP] {
        let page = browser.open(&stack.client.url(""), profile).await;
        page.visit("/admin/audit?action=sign_in").await;
        assert!(page.address().await.starts_with("/login?return="), "{}", page.address().await);
        page.wait_until("!document.querySelector('#sign-in').hidden").await;
        page.take_console().await;
        page.check("console-sign-in").await;

        page.fill("#email", &email).await;
        page.fill("#password", "not the password").await;
        page.click("#sign-in button").await;
        page.wait_until("document.activeElement.className === 'error-summary'").await;
        let incorrect = profile.language.choose("is incorrect", "ist falsch");
        page.wait_for_text(".error-summary", incorrect).await;
        page.take_console().await;
        page.check("console-sign-in-failed").await;

        sign_in(&page, &email).await;
        page.wait_for_address("the audit log", |address| address == "/admin/audit?action=sign_in")
            .await;
        page.take_console().await;

        // The session is continued without the form.
        page.visit("/login?return=%2Faccount").await;
        page.wait_for_address("the account", |address| address == "/account").await;
        page.visit("/login?return=%2F%2Fevil.example").await;
        page.wait_for_address("the console", |address| address == "/admin").await;
        page.take_console().await;
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_delay_after_failed_attempts_is_shown() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let (_, email) = create_account(&stack, Role::Operator).await;
    let browser = Browser::start().await;
    let page = browser.open(&stack.client.url(""), DESKTOP).await;
    page.visit("/login").await;
    page.wait_until("!document.querySelector('#sign-in').hidden").await;
    page.fill("#email", &email).await;
    page.fill("#password", "not the password").await;
    let summary = "document.querySelector('.error-summary')?.textContent ?? ''";
    for _ in 0..20 {
        page.evaluate("document.querySelector('.error-summary')?.remove()").await;
        page.click("#sign-in button").await;
        page.wait_until(&format!("({summary}) !== ''")).await;
        let text = page.evaluate(summary).await.to_string();
        if text.contains("Too many failed attempts. Try again in ") {
            assert!(text.contains("second") || text.contains("minute"), "{text}");
            stack.stop().await;
            return;
        }
    }
    panic!("no attempt was delayed");
}

#[tokio::test]
async fn staff_end_other_sessions_and_sign_out_everywhere() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    for profile in [PHONE, DESKTOP] {
        let (id, email) = create_account(&stack, Role::Operator).await;
        let page = browser.open(&stack.client.url(""), profile).await;
        page.visit("/login?return=%2Faccount").await;
        sign_in(&page, &email).await;
        page.wait_for_address("the account", |address| address == "/account").await;
        page.take_console().await;
        let others = [
            Staff::sign_in(&stack.client, id, email.clone()).await,
            Staff::sign_in(&stack.client, id, email.clone()).await,
        ];
        page.reload().await;
        assert_eq!(page.count(".table tbody tr").await, 3);
        page.check("console-account").await;

        page.click(".table [data-method=DELETE]").await;
        page.wait_until("document.querySelector('#confirm').open").await;
        page.check("console-account-confirm").await;
        page.click("#confirm-action").await;
        page.wait_for_text("#toasts", profile.language.choose("has ended", "wurde beendet")).await;
        assert_eq!(page.count(".table tbody tr").await, 2);
        page.click("[data-path='/api/v1/auth/sessions']").await;
        page.click("#confirm-action").await;
        page.wait_until("document.querySelectorAll('.table tbody tr').length === 1").await;
        for other in others {
            assert_eq!(other.get("/api/v1/auth/validate").await.status(), 401);
        }

        page.click("#sign-out-everywhere").await;
        page.click("#confirm-action").await;
        page.wait_for_address("the sign-in page", |address| address == "/login").await;
        page.wait_until("!document.querySelector('#sign-in').hidden").await;
        page.visit("/account").await;
        assert!(page.address().await.starts_with("/login"), "{}", page.address().await);
    }
    stack.stop().await;
}

#[tokio::test]
async fn staff_change_their_password() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    let page = open_as(&stack, &browser, Role::Clinician, PHONE).await;
    page.visit("/account").await;
    page.fill("#current-password", "not the password").await;
    page.fill("#new-password", "a new sentence that nobody guesses").await;
    page.click("#password-form button").await;
    page.wait_for_text("#current-password-error", "Das aktuelle Passwort ist falsch.").await;
    page.take_console().await;
    page.check("console-account-password").await;

    page.fill("#current-password", diagflow_tests::staff::PASSWORD).await;
    page.click("#password-form button").await;
    page.wait_for_text("#toasts", "Ihr Passwort wurde geändert.").await;
    stack.stop().await;
}

#[tokio::test]
async fn the_account_menu_signs_out() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    for profile in [PHONE, DESKTOP] {
        let page = open_as(&stack, &browser, Role::Admin, profile).await;
        page.visit("/account").await;
        page.click("#account-menu summary").await;
        page.check("console-menu").await;
        page.click("[data-action=sign-out]").await;
        page.wait_for_address("the sign-in page", |address| address == "/login").await;
    }
    stack.stop().await;
}
