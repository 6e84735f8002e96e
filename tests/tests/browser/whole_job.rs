//! Plays the whole job: a patient gets a result, and staff find out why a submission failed and retry it.

use crate::support::{behind_nginx, sign_in};
use diagflow_store::Role;
use diagflow_tests::browser::{Browser, Language, Page, Profile, Scheme, Screen};
use diagflow_tests::staff::create_account;
use diagflow_tests::{Stack, StackOptions, eventually, photos};

async fn send_two_photos(page: &Page, email: &str) {
    page.visit("/").await;
    page.fill("#email", email).await;
    page.fill("#comments", "It itches at night.").await;
    page.choose_files("#images", &[photos::path("retina.jpg"), photos::path("chelsea.png")]).await;
    page.click("#consent").await;
    page.click("#send").await;
}

async fn wait_for_title(page: &Page, english: &str, german: &str) {
    page.wait_for_text("h1", page.profile.language.choose(english, german)).await;
}

async fn wait_for_result(page: &Page) {
    wait_for_title(page, "Your result", "Ihr Ergebnis").await;
    page.wait_until(
        "[...document.querySelectorAll('#photos img')].every((it) => it.naturalWidth > 0)",
    )
    .await;
}

/// Returns the link in the e-mail with the result.
async fn link_in_email(stack: &Stack, email: &str) -> String {
    let start = format!("{}/s/", stack.setting("PUBLIC_URL"));
    eventually(format!("an e-mail to {email}"), || async {
        let mails = stack.mail.mails_to(email);
        let text = mails.first()?.text.clone()?;
        text.lines().map(str::trim).find(|line| line.starts_with(&start)).map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn a_patient_gets_a_result_and_opens_it_on_another_device() {
    let options = StackOptions::default().scenario("stuck");
    let (mut stack, nginx) = behind_nginx(options).await;
    stack.start_worker().await;
    let browser = Browser::start().await;
    for profile in [
        Profile::new(Screen::Phone, Scheme::Light, Language::German),
        Profile::new(Screen::Desktop, Scheme::Dark, Language::English),
    ] {
        let email = format!("patient-{}@example.org", profile.language.tag());
        let page = browser.open(&nginx.url(), profile).await;
        send_two_photos(&page, &email).await;
        let address =
            page.wait_for_address("the submission's page", |it| it.starts_with("/s/")).await;
        wait_for_title(&page, "Your photos are being examined", "Ihre Fotos werden untersucht")
            .await;
        page.wait_for_text("#connection", "Live").await;
        page.measure("job-waiting").await;
        page.check("job-waiting").await;

        stack.api.take().expect("a running process").stop().await;
        page.wait_until("!document.querySelector('#connection.connection--live')").await;
        stack.start_api().await;
        page.wait_until("document.querySelector('#connection.connection--live') !== null").await;
        // The browser logs the responses of the proxy while the API was down.
        page.take_console().await;

        for execution in stack.loopai.executions() {
            // Executions that have ended are refused.
            let _ = stack.loopai.complete(&execution.execution_id);
        }
        wait_for_result(&page).await;
        page.wait_until("!document.querySelector('#print').hidden").await;
        let document = "fetch(document.querySelector('a[download]').href).then((it) => it.json())";
        let id = page.evaluate(&format!("{document}.then((it) => it.submission_id)")).await;
        assert_eq!(address, format!("/s/{}", id.as_str().expect("an id")));
        page.reload().await;
        page.measure("job-result").await;
        page.check("job-result").await;

        let other = browser.open(&nginx.url(), profile).await;
        other.visit(&link_in_email(&stack, &email).await).await;
        other.check("job-link").await;
        other.click("main button").await;
        other.wait_for_address("the submission's page", |it| it == address).await;
        wait_for_result(&other).await;
        other.check("job-result-elsewhere").await;
    }
    stack.stop().await;
}

#[tokio::test]
async fn staff_find_out_why_a_submission_failed_and_retry_it() {
    let stack = Stack::start().await;
    let browser = Browser::start().await;
    for profile in [
        Profile::new(Screen::Desktop, Scheme::Light, Language::English),
        Profile::new(Screen::Phone, Scheme::Dark, Language::German),
    ] {
        let photos = [photos::retina(), photos::cat()];
        let comments = "It itches at night. [sim: fail*1]";
        let submission = stack.client.submit("ana@example.org", comments, &photos).await;
        stack.wait_for_status(&submission, "failed").await;
        let (_, email) = create_account(&stack, Role::Admin).await;
        let page = browser.open(&stack.client.url(""), profile).await;

        page.visit("/admin/overview").await;
        sign_in(&page, &email).await;
        page.wait_for_address("the overview", |it| it == "/admin/overview").await;
        // The browser logs that there was no session to continue.
        page.take_console().await;
        page.element("#hours-chart canvas").await;
        let failures = number(&page, FAILED).await;
        let completed = number(&page, COMPLETED).await;
        page.check("job-overview").await;

        page.click("#outcomes a[href='/admin?error_code=loopai_failed']").await;
        page.click(&format!("#row-{} th a", submission.submission_id)).await;
        let cause = profile.language.choose(
            "LoopAI could not make a diagnosis from these photos.",
            "LoopAI konnte diese Fotos nicht auswerten.",
        );
        page.wait_for_text("#failure", cause).await;
        page.wait_for_text(".story", "LoopAI").await;
        assert!(page.has(".story__entry--problem").await);
        page.measure("job-failed").await;
        page.check("job-failed").await;

        page.click("[data-path$='/retry']").await;
        page.fill("#confirm-reason", "LoopAI was updated").await;
        page.check("job-retry").await;
        page.click("#confirm-action").await;
        page.element(".page-header .status--completed").await;
        page.wait_for_text(".story", "LoopAI was updated").await;
        page.element(".finding").await;
        page.check("job-completed").await;

        page.visit("/admin/overview").await;
        assert_eq!(number(&page, FAILED).await, failures - 1);
        assert_eq!(number(&page, COMPLETED).await, completed + 1);
    }
    stack.stop().await;
}

const FAILED: &str = "a[href='/admin?status=failed'] .figures__number";
const COMPLETED: &str = "a[href='/admin?status=completed'] .figures__number";

async fn number(page: &Page, selector: &str) -> i64 {
    page.text(selector).await.parse().expect("a number")
}
