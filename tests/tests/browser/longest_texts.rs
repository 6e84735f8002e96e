//! Tests of the longest realistic texts on pages, at all widths from 320 to 1600 px.

use crate::support::{long_result, open_as};
use diagflow_store::Role;
use diagflow_tests::browser::{Browser, Language, Page, Profile, Scheme, Screen};
use diagflow_tests::{Stack, StackOptions, photos};
use std::path::PathBuf;
use tempfile::TempDir;

const PHONE: Profile = Profile::new(Screen::Phone, Scheme::Light, Language::German);
const DESKTOP: Profile = Profile::new(Screen::Desktop, Scheme::Dark, Language::English);

/// Copies a photo to files whose names have 60 characters.
fn ten_photos(folder: &TempDir) -> Vec<PathBuf> {
    let photo = photos::path("retina.jpg");
    let copy = |number| {
        let path = folder.path().join(format!("{:a<51}-{number:04}.jpg", "IMG_"));
        std::fs::copy(&photo, &path).expect("a copied photo");
        path
    };
    (1..=10).map(copy).collect()
}

async fn submit(page: &Page, email: &str, photos: &[PathBuf]) -> String {
    page.visit("/").await;
    page.fill("#email", email).await;
    page.fill("#comments", &"Donaudampfschifffahrtsgesellschaft".repeat(8)).await;
    page.choose_files("#images", photos).await;
    page.wait_until("document.querySelectorAll('.chosen__photo').length === 10").await;
    page.check("longest-form").await;
    page.click("#consent").await;
    page.click("#send").await;
    page.wait_for_address("the submission's page", |it| it.starts_with("/s/")).await
}

#[tokio::test]
async fn the_longest_texts_fit_on_every_screen() {
    let stack = Stack::with(StackOptions::default().scenario("stuck")).await;
    let browser = Browser::start().await;
    let folder = TempDir::new().expect("a folder");
    let photos = ten_photos(&folder);
    let email = format!("{}@{}example.museum", "m".repeat(64), "name.".repeat(35));
    assert_eq!(email.len(), 254);
    for profile in [PHONE, DESKTOP] {
        let patient = browser.open(&stack.client.url(""), profile).await;
        let address = submit(&patient, &email, &photos).await;
        patient.check("longest-waiting").await;
        for execution in stack.loopai.executions() {
            // Executions that have ended are refused.
            let _ = stack.loopai.complete_with(&execution.execution_id, long_result());
        }
        patient.element(".finding:nth-child(40)").await;
        patient.reload().await;
        patient.check("longest-result").await;

        let staff = open_as(&stack, &browser, Role::Admin, profile).await;
        staff.visit(&address.replace("/s/", "/admin/submissions/")).await;
        staff.click("#reveal").await;
        staff.wait_for_text("[data-personal=email]", &email).await;
        staff.check("longest-console-submission").await;
        staff.visit("/admin").await;
        staff.check("longest-console-list").await;
        let state = "document.querySelector('#submissions .status').getBoundingClientRect()";
        staff.wait_until(&format!("{state}.right < innerWidth")).await;
    }
    stack.stop().await;
}
