//! Tests of the pages that need neither a submission nor an account.

use diagflow_tests::browser::{Browser, Language, Profile, Scheme, Screen};
use diagflow_tests::{Stack, StackOptions};

#[tokio::test]
async fn the_start_page_has_no_findings() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    for profile in Profile::all() {
        let page = browser.open(&stack.client.url(""), profile).await;
        page.visit("/").await;
        page.element("h1").await;
        page.measure("start").await;
        page.check("start").await;
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_api_reference_loads_without_findings() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let browser = Browser::start().await;
    let profile = Profile::new(Screen::Desktop, Scheme::Light, Language::English);
    let page = browser.open(&stack.client.url(""), profile).await;
    page.visit("/docs/").await;
    page.element(".opblock").await;
    page.check_without_content("docs").await;
    stack.stop().await;
}
