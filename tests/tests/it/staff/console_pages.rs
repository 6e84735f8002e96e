//! Tests of who may open the pages of the console, and of what they show.

use diagflow_store::Role;
use diagflow_tests::ports::NOWHERE;
use diagflow_tests::staff::create_account;
use diagflow_tests::{Stack, StackOptions, Staff, eventually};
use reqwest::Method;
use serde_json::Value;

/// The pages, with the roles that may open them.
const PAGES: [(&str, &[Role]); 6] = [
    ("/account", &[Role::Admin, Role::Operator, Role::Clinician, Role::Institution, Role::Patient]),
    ("/admin/users", &[Role::Admin]),
    ("/admin/users/new", &[Role::Admin]),
    ("/admin/audit", &[Role::Admin]),
    ("/admin/settings", &[Role::Admin]),
    ("/admin/health", &[Role::Admin, Role::Operator]),
];

/// Returns the status and the text of a page.
async fn open(staff: &Staff, path: &str, language: &str) -> (u16, String) {
    let call = staff.request(Method::GET, path).header("accept-language", language);
    let response = call.send().await.expect("a response");
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8", "{path}");
    (response.status().as_u16(), response.text().await.expect("text"))
}

#[tokio::test]
async fn each_role_sees_only_the_pages_that_it_may_open() {
    let stack = Stack::api_only(StackOptions::default()).await;
    for role in [Role::Admin, Role::Operator, Role::Clinician, Role::Institution, Role::Patient] {
        let staff = Staff::with_role(&stack, role).await;
        let (_, account) = open(&staff, "/account", "en").await;
        for (path, roles) in PAGES {
            for (language, forbidden) in [
                ("en", "You do not have access to this page"),
                ("de", "Sie haben keinen Zugriff auf diese Seite"),
            ] {
                let (status, text) = open(&staff, path, language).await;
                let is_allowed = roles.contains(&role);
                assert_eq!(status, if is_allowed { 200 } else { 403 }, "{role} {path}");
                assert_eq!(text.contains(forbidden), !is_allowed, "{role} {path}");
                assert!(text.contains(&format!("<html lang=\"{language}\">")), "{path}");
            }
            let is_linked = account.contains(&format!("<a href=\"{path}\""));
            assert_eq!(
                is_linked,
                roles.contains(&role) && path != "/admin/users/new",
                "{role} {path}"
            );
        }
    }
    stack.stop().await;
}

#[tokio::test]
async fn pages_are_audited_as_the_api_is() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let (id, _) = create_account(&stack, Role::Service).await;
    let user = format!("/admin/users/{id}");
    for (path, action) in [
        ("/account", "sessions_view"),
        ("/admin/users", "users_view"),
        (user.as_str(), "keys_view"),
        ("/admin/audit?action=sign_out", "audit_view"),
    ] {
        assert_eq!(open(&admin, path, "en").await.0, 200, "{path}");
        let found = admin.audit(&format!("actor_id={}&action={action}", admin.id)).await;
        assert!(!found.is_empty(), "{path}");
    }
    let (status, _) = open(&admin, "/admin/users/3f1f6b0e-6f0e-4f7b-9d53-0f1f6f3c2a11", "en").await;
    assert_eq!(status, 404);
    stack.stop().await;
}

#[tokio::test]
async fn settings_are_shown_without_secrets() {
    let options = StackOptions::default()
        .with("LOOPAI_API_KEY", "sesame-of-loopai")
        .with("SMTP_PASSWORD", "sesame-of-the-mail-server")
        .with("SMTP_USER", "ana")
        .with("MAX_FILES", "7");
    let stack = Stack::api_only(options).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let (_, page) = open(&admin, "/admin/settings", "en").await;
    let json = admin.get("/api/admin/settings").await.text().await.expect("text");
    let database = url::Url::parse(&stack.setting("DATABASE_URL")).expect("an address");
    let mut secrets = vec!["sesame".to_owned(), "development-only".to_owned()];
    secrets.extend(database.password().map(|password| format!(":{password}@")));
    for text in [&page, &json] {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret}");
        }
        assert!(text.contains("SMTP_PASSWORD") && text.contains("MAX_FILES"));
    }
    let body: Value = serde_json::from_str(&json).expect("JSON");
    let settings = body["data"].as_array().expect("settings");
    let find = |name| settings.iter().find(|setting| setting["name"] == name).expect("a setting");
    assert_eq!(find("MAX_FILES")["value"], "7");
    assert_eq!(find("MAX_FILES")["default"], false);
    assert_eq!(find("SMTP_PASSWORD")["set"], true);
    assert_eq!(find("SMTP_PASSWORD")["value"], Value::Null);
    stack.stop().await;
}

async fn dependencies(staff: &Staff) -> Vec<Value> {
    let body: Value = staff.get("/api/admin/health").await.json().await.expect("JSON");
    body["data"].as_array().expect("dependencies").clone()
}

fn states(dependencies: &[Value]) -> Vec<[&str; 2]> {
    let all = dependencies.iter();
    all.map(|it| ["name", "state"].map(|field| it[field].as_str().unwrap_or_default())).collect()
}

#[tokio::test]
async fn the_state_of_each_dependency_is_shown() {
    let (stack, submission) = Stack::with_submission(StackOptions::default()).await;
    stack.wait_for_status(&submission, "completed").await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    let all_healthy = eventually("all dependencies are healthy", async || {
        let found = dependencies(&staff).await;
        let is_healthy = found.iter().all(|it| it["state"] == "healthy");
        let has_sent = found[4]["succeeded_at"].is_string();
        (is_healthy && has_sent).then_some(found)
    })
    .await;
    for dependency in &all_healthy[..3] {
        assert!(dependency["latency_ms"].is_u64(), "{dependency}");
    }
    assert!(all_healthy[0]["version"].is_string() && all_healthy[2]["version"].is_string());
    assert!(all_healthy[3]["succeeded_at"].is_string(), "the result came from LoopAI");
    stack.stop().await;
}

#[tokio::test]
async fn dependencies_that_cannot_be_reached_are_shown() {
    let options = StackOptions::default().with("TEMPORAL_ADDRESS", NOWHERE);
    let stack = Stack::api_only(options).await;
    let staff = Staff::with_role(&stack, Role::Operator).await;
    std::fs::remove_dir_all(stack.files()).expect("the storage directory");
    let found = dependencies(&staff).await;
    assert_eq!(
        states(&found),
        [
            ["database", "healthy"],
            ["file_storage", "unavailable"],
            ["temporal", "unavailable"],
            ["loop_ai", "healthy"],
            ["mail_server", "healthy"],
        ]
    );
    assert_eq!(found[2]["problem"], "temporal_unreachable");
    let (_, page) = open(&staff, "/admin/health", "en").await;
    assert!(page.contains("2 dependencies need attention."), "{page}");
    stack.stop().await;
}
