//! Opens every page of the console once on each kind of screen.

use crate::support::open_as;
use diagflow_store::Role;
use diagflow_tests::browser::{Browser, Language, Profile, Scheme, Screen};
use diagflow_tests::staff::create_account;
use diagflow_tests::{Stack, photos};

const ROUTES: &str = include_str!("../../../api/src/pages/console/mod.rs");

/// Every two properties of a visitor are combined at least once.
const PROFILES: [Profile; 4] = [
    Profile::new(Screen::Phone, Scheme::Light, Language::German),
    Profile::new(Screen::Phone, Scheme::Dark, Language::English),
    Profile::new(Screen::Desktop, Scheme::Light, Language::English),
    Profile::new(Screen::Desktop, Scheme::Dark, Language::German),
];

/// Returns the paths of all pages for people who have signed in.
fn routes() -> impl Iterator<Item = &'static str> {
    let paths = ROUTES.split(".route(\"").skip(1);
    let paths = paths.filter_map(|rest| rest.split('"').next());
    paths.filter(|path| *path != "/login")
}

#[tokio::test]
async fn every_page_of_the_console_has_no_findings() {
    let stack = Stack::start().await;
    let submission =
        stack.client.submit("ana@example.org", "It itches.", &[photos::retina()]).await;
    stack.wait_for_status(&submission, "completed").await;
    let (user, _) = create_account(&stack, Role::Clinician).await;
    let browser = Browser::start().await;
    for profile in PROFILES {
        let page = open_as(&stack, &browser, Role::Admin, profile).await;
        let mut opened = 0;
        for route in routes() {
            let id = if route.starts_with("/admin/users/") {
                user.to_string()
            } else {
                submission.submission_id.clone()
            };
            page.visit(&route.replace("{id}", &id)).await;
            page.element("h1").await;
            let name = route.replace("/{id}", "-id").replace('/', "-");
            page.measure(&format!("every{name}")).await;
            // The style guide is for developers, in English only.
            match route {
                "/admin/styleguide" => page.check_without_content(&format!("every{name}")).await,
                _ => page.check(&format!("every{name}")).await,
            }
            opened += 1;
        }
        assert!(opened >= 11, "{opened} pages");
    }
    stack.stop().await;
}
