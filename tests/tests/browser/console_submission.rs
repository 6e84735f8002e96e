//! Tests of the page of a submission for staff.

use crate::support::open_as;
use diagflow_store::Role;
use diagflow_tests::assertions::{failed, wait_ended_once};
use diagflow_tests::browser::{Browser, Language, Profile, Scheme, Screen};
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, photos};

const DESKTOP: Profile = Profile::new(Screen::Desktop, Scheme::Light, Language::English);

fn path(submission: &AcceptedSubmission) -> String {
    format!("/admin/submissions/{}", submission.submission_id)
}

async fn with_two_photos(stack: &Stack) -> AcceptedSubmission {
    let photos = [photos::retina(), photos::retina()];
    stack.client.submit("ana@example.org", "itches", &photos).await
}

#[tokio::test]
async fn the_page_has_no_findings_in_any_state() {
    let stack = Stack::with(StackOptions::default()).await;
    let completed = with_two_photos(&stack).await;
    stack.wait_for_status(&completed, "completed").await;
    let browser = Browser::start().await;
    for profile in Profile::all() {
        let page = open_as(&stack, &browser, Role::Admin, profile).await;
        page.visit(&path(&completed)).await;
        page.element("#timeline-title").await;
        page.check("console-submission-completed").await;
    }
    stack.stop().await;

    let (stack, ended) = Stack::with_submission(StackOptions::default().scenario("fail")).await;
    wait_ended_once(&stack, &ended, failed("loopai_failed")).await;
    let phone = Profile::new(Screen::Phone, Scheme::Dark, Language::German);
    for profile in [DESKTOP, phone] {
        let page = open_as(&stack, &browser, Role::Admin, profile).await;
        page.visit(&path(&ended)).await;
        page.element("#failure").await;
        page.check("console-submission-failed").await;
    }
    stack.stop().await;
}

#[tokio::test]
async fn staff_reveal_personal_data_and_write_a_note() {
    let stack = Stack::with(StackOptions::default()).await;
    let submission = with_two_photos(&stack).await;
    stack.wait_for_status(&submission, "completed").await;
    let browser = Browser::start().await;
    let page = open_as(&stack, &browser, Role::Admin, DESKTOP).await;
    page.visit(&path(&submission)).await;

    assert_eq!(page.text("[data-personal=email]").await, "a…@example.org");
    page.click("#reveal").await;
    page.wait_for_text("[data-personal=email]", "ana@example.org").await;
    page.wait_for_text("[data-personal=comments]", "itches").await;

    page.click("[data-open=note]").await;
    page.fill("#note-value", "Call back on Monday").await;
    page.click("#note-form .button--primary").await;
    page.wait_for_text("#note-text", "Call back on Monday").await;
    // The update keeps what was revealed.
    assert_eq!(page.text("[data-personal=email]").await, "ana@example.org");

    // Somebody else writes a note, which this page must not overwrite.
    let other = open_as(&stack, &browser, Role::Operator, DESKTOP).await;
    other.visit(&path(&submission)).await;
    other.click("[data-open=note]").await;
    other.fill("#note-value", "Already called").await;
    other.click("#note-form .button--primary").await;
    other.wait_for_text("#note-text", "Already called").await;
    page.click("[data-assignee]").await;
    page.wait_for_text("#toasts", "Somebody else has changed this").await;
    page.wait_for_text("#note-text", "Already called").await;
    page.take_console().await;
    page.reload().await;
    assert_eq!(page.text("[data-personal=email]").await, "a…@example.org");
    page.check("console-submission-note").await;
    stack.stop().await;
}

#[tokio::test]
async fn a_failed_submission_is_retried_and_its_page_updates_itself() {
    let (stack, submission) =
        Stack::with_submission(StackOptions::default().scenario("fail")).await;
    wait_ended_once(&stack, &submission, failed("loopai_failed")).await;
    let browser = Browser::start().await;
    let page = open_as(&stack, &browser, Role::Operator, DESKTOP).await;
    page.visit(&path(&submission)).await;

    page.wait_for_text("#failure", "LoopAI could not make a diagnosis from these photos.").await;
    page.click("[data-path$='/retry']").await;
    page.fill("#confirm-reason", "The patient sent better photos").await;
    page.click("#confirm-action").await;
    // The second run appears without a reload, and ends like the first one.
    page.wait_until("document.querySelectorAll('.phases').length === 2").await;
    page.wait_until("document.querySelector('[data-path$=\"/retry\"]') !== null").await;
    stack.stop().await;
}

#[tokio::test]
async fn photos_are_zoomed_rotated_and_changed_with_the_keyboard() {
    use fantoccini::key::Key;
    let stack = Stack::api_only(StackOptions::default()).await;
    let submission = with_two_photos(&stack).await;
    let browser = Browser::start().await;
    let page = open_as(&stack, &browser, Role::Clinician, DESKTOP).await;
    page.visit(&path(&submission)).await;
    page.element("#reveal").await;

    page.click("[data-photo='1']").await;
    page.wait_for_text("#viewer-title", "Photo 1 / 2").await;
    page.press(".viewer__stage", Key::Right).await;
    page.wait_for_text("#viewer-title", "Photo 2 / 2").await;
    page.click("[data-viewer=rotate]").await;
    page.click("[data-viewer=in]").await;
    let transform = page.evaluate("document.querySelector('.viewer__photo').style.transform").await;
    let transform = transform.as_str().expect("a transformation").to_owned();
    assert!(transform.contains("rotate(90deg)"), "{transform}");
    page.check("console-submission-viewer").await;
    page.press(".viewer__stage", Key::Escape).await;
    page.wait_until("!document.querySelector('#viewer').open").await;
    stack.stop().await;
}
