//! Tests of the page that a link in an e-mail opens.

use diagflow_store::{EmailLinkCode, EmailLinkKey};
use diagflow_tests::assertions::delivery;
use diagflow_tests::browser::{Browser, Language, Profile, Scheme, Screen};
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, StackOptions};

const PHONE: Profile = Profile::new(Screen::Phone, Scheme::Light, Language::German);
const DESKTOP: Profile = Profile::new(Screen::Desktop, Scheme::Dark, Language::English);
const SECRET: &str = "a secret key for tests of links in e-mails";

#[tokio::test]
async fn a_link_opens_the_submissions_page_once() {
    let options = StackOptions::default().with("SECRET_KEY", SECRET);
    let (stack, submission) = Stack::with_submission(options).await;
    stack.wait_for_status(&submission, "completed").await;
    let (key, id) = (EmailLinkKey::new(&SECRET.into()), id_of(&submission));
    let delivery = delivery(&stack, &submission).await.id;
    let valid = key.path(id, EmailLinkCode { delivery, expires: i64::MAX });
    let expired = key.path(id, EmailLinkCode { delivery, expires: 1 });
    let browser = Browser::start().await;
    let reset = "UPDATE deliveries SET link_used_at = NULL";
    for profile in [PHONE, DESKTOP] {
        stack.database.execute(reset).await;
        let page = browser.open(&stack.client.url(""), profile).await;
        page.visit(&valid).await;
        page.check("email-link").await;
        page.click("main button").await;
        let submission_page = format!("/s/{id}");
        page.wait_for_address("the submission's page", |it| it == submission_page).await;

        page.visit(&valid).await;
        page.check("email-link-used").await;
        page.click("main a").await;
        page.wait_for_address("the submission's page", |it| it == submission_page).await;

        stack.database.execute(reset).await;
        page.visit(&expired).await;
        assert!(page.has("main button").await && !page.has("main a").await);
        page.check("email-link-expired").await;
        page.click("main button").await;
        page.wait_for_address("the confirmation", |it| it.ends_with("/new")).await;
        page.check("email-link-requested").await;
    }
    stack.stop().await;
}
