//! Tests of how a patient's consent is stored.

use diagflow_tests::client::expect_accepted;
use diagflow_tests::stack::id_of;
use diagflow_tests::{ApiClient, Stack, StackOptions, photos};

#[tokio::test]
async fn consent_is_stored_with_its_time_and_text_version() {
    let options = StackOptions::default().with("CONSENT_VERSION", "2031-05");
    let stack = Stack::api_only(options).await;
    let without_version = ApiClient::submission_body("ana@example.org", "", &[photos::retina()]);
    let mut with_version = without_version.clone();
    with_version["consent_version"] = "2031-05".into();

    for (body, version) in [(without_version, "2031-05"), (with_version, "2031-05")] {
        let response = stack.client.post(&body, None).await.expect("a response");
        let id = id_of(&expect_accepted(response).await);
        let submission = stack.store.submission(id).await.expect("read").expect("stored");
        assert_eq!(submission.consent_version, version);
        assert_eq!(submission.consent_at, submission.created_at);
        let age = format!(
            "SELECT TIMESTAMPDIFF(SECOND, consent_at, UTC_TIMESTAMP(6)) FROM submissions WHERE id = '{id}'"
        );
        let age = stack.database.number(&age).await;
        assert!((0..60).contains(&age), "the stored consent is {age} s old");
    }
    stack.stop().await;
}
