use diagflow_store::Role;
use diagflow_tests::browser::{Browser, Page, Profile};
use diagflow_tests::nginx::Nginx;
use diagflow_tests::staff::{PASSWORD, create_account};
use diagflow_tests::{Stack, StackOptions};
use serde_json::{Value, json};

/// Starts the API behind nginx. [`Stack::client`] still connects to the API itself.
pub(crate) async fn behind_nginx(options: StackOptions) -> (Stack, Nginx) {
    let mut stack = Stack::without_processes(options.with("TRUSTED_PROXIES", "1")).await;
    let nginx = Nginx::start(&stack.setting("LISTEN_ADDRESS")).await;
    stack.set("PUBLIC_URL", nginx.url());
    stack.start_api().await;
    (stack, nginx)
}

/// Opens a page as a new member of staff, who signs in with the form.
pub(crate) async fn open_as(
    stack: &Stack,
    browser: &Browser,
    role: Role,
    profile: Profile,
) -> Page {
    let (_, email) = create_account(stack, role).await;
    let page = browser.open(&stack.client.url(""), profile).await;
    page.visit("/login").await;
    sign_in(&page, &email).await;
    page.wait_for_address("a page for staff", |address| !address.starts_with("/login")).await;
    // The browser logs that there was no session to continue.
    page.take_console().await;
    page
}

/// Fills in the form on the sign-in page.
pub(crate) async fn sign_in(page: &Page, email: &str) {
    page.wait_until("!document.querySelector('#sign-in').hidden").await;
    page.fill("#email", email).await;
    page.fill("#password", PASSWORD).await;
    page.click("#sign-in button").await;
}

/// Returns a result with 40 findings.
pub(crate) fn long_result() -> Value {
    let findings: Vec<_> = (1..=40)
        .map(|number| {
            json!({
                "label": format!("Finding {number} with a long name, for example seborrhoeic keratosis"),
                "confidence": 1.0 - f64::from(number) / 41.0,
                "description": "A raised, sharply bordered spot.",
                "file": "image-1.jpg",
            })
        })
        .collect();
    json!({
        "summary": "Your photos show a harmless spot that does not need treatment.",
        "findings": findings,
        "recommendations": ["Take a photo of the spot every month.", "Use sun protection."],
        "model": {"name": "dermatology-2", "version": "2026-11"},
    })
}
