//! Words in the comments are looked for only by those who may read comments.

use diagflow_store::Role;
use diagflow_tests::{Stack, StackOptions, Staff, seeding, staff};
use reqwest::Response;
use serde_json::{Value, json};

const LIST: &str = "/api/admin/submissions";
const EXPORT: &str = "/api/admin/submissions/export";
const RETRY: &str = "/api/admin/submissions/retry";

/// Status, code and message of a refusal; without the latter two for what is no JSON, such as an export.
async fn refused(answer: Response) -> (u16, String, String) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_default();
    let text = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("message"))
}

#[tokio::test]
async fn comments_cannot_be_spelt_out_by_who_may_not_read_them() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;
    seeding::submission(&stack.store, "ana@example.org", "glaucoma", None).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let (program, _) = staff::account(&stack, Role::Service).await;
    let keys = format!("/api/v1/users/{program}/keys");
    let made: Value =
        admin.post(&keys, &json!({"name": "export"})).await.json().await.expect("JSON");
    let program = admin.with_token(made["api_key"].as_str().expect("a key").to_owned());

    let by_words = json!({"filter": {"words": "gla"}, "reason": "a test", "dry_run": true});
    // The middle: whether its role may come to that route at all, so that the words are what is refused.
    for (who, answer, is_let_in) in [
        ("operator's list", operator.get(&format!("{LIST}?words=gla")).await, true),
        ("program's list", program.get(&format!("{LIST}?words=gla")).await, true),
        ("operator's export", operator.get(&format!("{EXPORT}?words=gla")).await, false),
        ("program's export", program.get(&format!("{EXPORT}?words=gla")).await, true),
        ("operator's retry", operator.post(RETRY, &by_words).await, true),
        ("program's retry", program.post(RETRY, &by_words).await, false),
    ] {
        let (status, code, message) = refused(answer).await;
        assert_eq!((status, code.as_str()), (403, "forbidden"), "{who}: {message}");
        assert_eq!(message.contains("comments"), is_let_in, "{who}: {message}");
    }

    let lines = stack
        .database
        .audited(
            "SELECT CONCAT_WS(' ', action, result, actor_kind) FROM audit \
             WHERE details LIKE '%\"words\":1%' ORDER BY number",
        )
        .await;
    let expected = [
        "submissions_view forbidden user",
        "submissions_view forbidden service",
        "submissions_export forbidden service",
        "submissions_retry forbidden user",
    ];
    assert_eq!(lines, expected);

    for path in [LIST, EXPORT] {
        let answer = admin.get(&format!("{path}?words=gla")).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.text().await.expect("text").contains("ana@example.org"), "{path}");
    }
    assert_eq!(operator.get(LIST).await.status(), 200, "without words");
    assert_eq!(program.get(EXPORT).await.status(), 200, "without words");
    stack.stop().await;
}
