//! Tests that a full-text search of comments requires permission to read comments.

use diagflow_store::Role;
use diagflow_tests::{Stack, StackOptions, Staff, seeding, staff};
use reqwest::Response;
use serde_json::{Value, json};

const LIST: &str = "/api/admin/submissions";
const EXPORT: &str = "/api/admin/submissions/export";
const RETRY: &str = "/api/admin/submissions/retry";

/// Returns the status, the error code and the message of a response. The code and the message are empty if the response
/// is not JSON, as with an export.
async fn refused(response: Response) -> (u16, String, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or_default();
    let text = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("message"))
}

#[tokio::test]
async fn full_text_search_of_comments_requires_clinical_permission() {
    let stack = Stack::api_only(StackOptions::default()).await;
    seeding::submission(&stack.store, "ana@example.org", "glaucoma", None).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let (program, _) = staff::create_account(&stack, Role::Service).await;
    let keys = format!("/api/v1/users/{program}/keys");
    let made: Value =
        admin.post(&keys, &json!({"name": "export"})).await.json().await.expect("JSON");
    let program = admin.with_token(made["api_key"].as_str().expect("a key").to_owned());

    let by_text = json!({"filter": {"comments": "gla"}, "reason": "a test", "dry_run": true});
    // The third value in each row is whether the role may use the route without searching comments.
    for (caller, response, is_permitted) in [
        ("operator's list", operator.get(&format!("{LIST}?comments=gla")).await, true),
        ("program's list", program.get(&format!("{LIST}?comments=gla")).await, true),
        ("operator's export", operator.get(&format!("{EXPORT}?comments=gla")).await, false),
        ("program's export", program.get(&format!("{EXPORT}?comments=gla")).await, true),
        ("operator's retry", operator.post(RETRY, &by_text).await, true),
        ("program's retry", program.post(RETRY, &by_text).await, false),
    ] {
        let (status, code, message) = refused(response).await;
        let expected = if is_permitted { "comment_search_forbidden" } else { "forbidden" };
        assert_eq!((status, code.as_str()), (403, expected), "{caller}: {message}");
    }

    let lines = stack
        .database
        .audit_rows(
            "SELECT CONCAT_WS(' ', action, result, actor_kind) FROM audit \
             WHERE details LIKE '%\"comment_terms\":1%' ORDER BY number",
        )
        .await;
    let expected = [
        "submissions_view comment_search_forbidden user",
        "submissions_view comment_search_forbidden service",
        "submissions_export comment_search_forbidden service",
        "submissions_retry comment_search_forbidden user",
    ];
    assert_eq!(lines, expected);

    for path in [LIST, EXPORT] {
        let response = admin.get(&format!("{path}?comments=gla")).await;
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.text().await.expect("text").contains("ana@example.org"), "{path}");
    }
    assert_eq!(
        operator.get(LIST).await.status(),
        200,
        "the route must be allowed without a comment search"
    );
    assert_eq!(
        program.get(EXPORT).await.status(),
        200,
        "the route must be allowed without a comment search"
    );
    stack.stop().await;
}
