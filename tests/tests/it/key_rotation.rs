//! Tests that keys can be replaced without invalidating values created with previous keys.

use diagflow_store::{Action, AuditFault, AuditKey, Keyring, LinkKey, NewAuditEntry, Role};
use diagflow_tests::seeding::audit_entry;
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, StackOptions, Staff, photos};
use reqwest::StatusCode;
use serde_json::{Value, json};

const OLD: &str = "the old key of the tests has 32 characters or more";
const NEW: &str = "the new key of the tests has 32 characters or more";

async fn restart_api(stack: &mut Stack, settings: &[(&'static str, &str)]) {
    stack.api.take().expect("running").stop().await;
    for (name, value) in settings {
        stack.set(name, *value);
    }
    stack.start_api().await;
}

async fn refresh(staff: &Staff, session: &Value) -> (StatusCode, Value) {
    let body = json!({"refresh_token": session["refresh_token"]});
    let response = staff.post("/api/v1/auth/refresh", &body).await;
    (response.status(), response.json().await.expect("JSON"))
}

#[tokio::test]
async fn values_derived_from_a_previous_secret_key_are_valid_until_the_key_is_removed() {
    let mut stack = Stack::api_only(StackOptions::default().with("SECRET_KEY", OLD)).await;
    let first = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    let file = stack.store.files(id_of(&first)).await.expect("files")[0].id;
    let link = LinkKey::new(&OLD.into()).path(file, 4_000_000_000);
    let staff = Staff::with_role(&stack, Role::Operator).await;

    restart_api(&mut stack, &[("SECRET_KEY", NEW), ("PREVIOUS_SECRET_KEYS", OLD)]).await;

    assert_eq!(stack.client.get_status(&first).await.expect("a response").status(), 200);
    assert_eq!(stack.client.get(&link).await.status(), 200);
    let (status, session) = refresh(&staff, &staff.session).await;
    assert_eq!(status, 200, "{session}");
    let second = stack.client.submit("bo@example.org", "", &[photos::retina()]).await;

    restart_api(&mut stack, &[("PREVIOUS_SECRET_KEYS", "")]).await;

    assert_eq!(stack.client.get_status(&first).await.expect("a response").status(), 404);
    assert_eq!(stack.client.get(&link).await.status(), 404);
    assert_eq!(stack.client.get_status(&second).await.expect("a response").status(), 200);
    let (status, session) = refresh(&staff, &session).await;
    assert_eq!(status, 200, "{session}");
    stack.stop().await;
}

/// Runs `diagflow audit verify` with the latest checkpoint. Returns the exit code and the entire output.
async fn audit_verify(stack: &Stack) -> (Option<i32>, String) {
    let mark = stack.store.audit_head().await.expect("a response").to_string();
    let output = stack.run_command(&["audit", "verify", "--checkpoint", &mark]).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

#[tokio::test]
async fn entries_sealed_with_a_previous_audit_key_can_be_verified() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    let rotated = AuditKey::new(&Keyring::new(NEW.into(), vec!["older".into(), OLD.into()]));
    for key in [AuditKey::new(&OLD.into()), rotated.clone(), rotated.clone()] {
        let entry = NewAuditEntry { key, ..audit_entry(Action::AuditView) };
        stack.store.append_audit_entry(&entry).await.expect("written");
    }
    let database = &stack.database;
    // The old key's id is the output of this command:
    // printf 'diagflow audit key id v1' | openssl dgst -sha256 -hmac "$AUDIT_KEY" -r | cut -c1-16
    let key_id = "9d4d1869d405bdfd";
    let sealed_by = |id: &str| format!("SELECT COUNT(*) FROM audit WHERE key_id = '{id}'");
    assert_eq!(
        database.number(&sealed_by(key_id)).await,
        1,
        "new entries must be sealed with the new key"
    );
    let verify = async |key: &AuditKey| {
        stack.store.verify_audit(key, None).await.expect("a response").faults
    };

    assert_eq!(verify(&rotated).await, []);
    let missing =
        AuditFault::UnknownKey { key_id: key_id.to_owned(), entries: 1, first: 1, last: 1 };
    assert_eq!(verify(&AuditKey::new(&NEW.into())).await, [missing]);

    // The key id is part of the sealed content.
    let new = database.texts("SELECT key_id FROM audit WHERE number = 2").await.remove(0);
    let set_key = |id: &str| format!("UPDATE audit SET key_id = '{id}' WHERE number = 3");
    database.execute(&set_key(key_id)).await;
    assert_eq!(verify(&rotated).await, [AuditFault::Changed(3)]);
    database.execute(&set_key(&new)).await;
    assert_eq!(verify(&rotated).await, []);

    stack.set("AUDIT_KEY", NEW);
    let (code, text) = audit_verify(&stack).await;
    assert_eq!(code, Some(1), "{text}");
    let missing = format!("entry 1 was sealed with the missing key \"{key_id}\"");
    assert!(text.starts_with(&missing), "{text}");
    assert!(text.contains("add the missing keys to PREVIOUS_AUDIT_KEYS"), "{text}");
    stack.set("PREVIOUS_AUDIT_KEYS", format!("an older key, {OLD}"));
    let (code, text) = audit_verify(&stack).await;
    assert_eq!(code, Some(0), "{text}");
    stack.stop().await;
}
