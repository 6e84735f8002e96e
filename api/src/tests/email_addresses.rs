//! E-mail addresses in submissions. `store/src/db/email_address.rs` tests which addresses are valid.

use super::requests::{post_json, valid_except};
use super::{TestApi, TestResponse};
use serde_json::json;

async fn submit(api: &TestApi, email: &str) -> TestResponse {
    api.send(post_json(&valid_except("email", json!(email)))).await
}

#[tokio::test]
async fn addresses_in_any_script_are_accepted() {
    let api = TestApi::new().await;
    for email in ["jose\u{301}@example.org", "संपर्क@डाटामेल.भारत", "\u{200B}me＠example.org\u{202C}"]
    {
        let response = submit(&api, email).await;
        assert_eq!(
            response.refusal(),
            (503, "unavailable".to_owned()),
            "{email}: {}",
            response.text
        );
    }
}

#[tokio::test]
async fn addresses_that_cannot_receive_email_are_rejected() {
    let api = TestApi::new().await;
    for email in
        ["me@127.0.0.1", "me@exa!mple.org", "me@example.c", "me@ex^ample.örg", "me@אa.example"]
    {
        let response = submit(&api, email).await;
        assert_eq!(response.json()["error"]["details"][0]["code"], "email_invalid", "{email}");
    }
}

#[tokio::test]
async fn without_smtputf8_only_ascii_local_parts_are_accepted() {
    let api = TestApi::with(|settings| settings.smtputf8 = false).await;
    for email in ["jose\u{301}@example.org", "संपर्क@example.org"] {
        let response = submit(&api, email).await;
        assert_eq!(response.refusal(), (400, "invalid_submission".to_owned()), "{email}");
        let detail = &response.json()["error"]["details"][0];
        assert_eq!(detail["field"], "email");
        assert_eq!(detail["code"], "email_not_supported");
        let message = detail["message"].as_str().expect("a message");
        assert!(message.ends_with("Enter another address."), "{message}");
    }
    for email in ["ana@bücher.example", "ａｎａ@example.org"] {
        let response = submit(&api, email).await;
        assert_eq!(
            response.refusal(),
            (503, "unavailable".to_owned()),
            "{email}: {}",
            response.text
        );
    }
}
