//! Tests of the API keys of service accounts.

use diagflow_store::Role;
use diagflow_tests::responses::refusal;
use diagflow_tests::staff::{self, PASSWORD};
use diagflow_tests::{Stack, StackOptions, Staff};
use reqwest::Response;
use serde_json::{Value, json};

/// Service accounts may not use this route, so a 403 response shows that the API recognized the key.
const PROBE: &str = "/api/v1/users";

async fn with_key(stack: &Stack, key: &str) -> (u16, String) {
    let call = reqwest::Client::new().get(stack.client.url(PROBE)).bearer_auth(key);
    refusal(call.send().await.expect("a response")).await
}

async fn refused_sign_in(stack: &Stack, email: &str) -> (u16, String) {
    let given = json!({"email": email, "password": PASSWORD});
    let call = reqwest::Client::new().post(stack.client.url("/api/v1/auth/login"));
    refusal(call.json(&given).send().await.expect("a response")).await
}

fn recognized() -> (u16, String) {
    (403, "forbidden".to_owned())
}

fn unknown() -> (u16, String) {
    (401, "api_key_invalid".to_owned())
}

async fn created(response: Response) -> (String, String) {
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body: Value = response.json().await.expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&body["api_key"]), text(&body["key"]["id"]))
}

async fn list_keys(admin: &Staff, keys: &str) -> Value {
    admin.get(keys).await.json().await.expect("JSON")
}

/// Asserts that the list contains the two keys of an account, newest first, and that neither the list nor the
/// database contains the secret of `key`.
async fn assert_keys_are_listed_without_secrets(stack: &Stack, list: &Value, key: &str) {
    let secret = key.rsplit_once('_').expect("a secret").1;
    assert!(!list.to_string().contains(secret), "{list}");
    assert_eq!(list["data"][0]["expires_at"], "2200-01-01T00:00:00.000Z");
    assert_eq!(
        (&list["data"][0]["name"], &list["data"][1]["name"]),
        (&json!("import"), &json!("export"))
    );
    assert_eq!(list["data"][1]["used_at"], Value::Null);
    let digests = stack.database.texts("SELECT secret FROM api_keys").await;
    assert!(
        digests.iter().all(|digest| !key.contains(digest) && digest.len() == 64),
        "the database contains a secret instead of its digest"
    );
}

async fn assert_key_entries(stack: &Stack, first_id: &str, second_id: &str) {
    let entries = stack
        .database
        .texts("SELECT CONCAT_WS(' ', action, object_id) FROM audit WHERE object_kind = 'api_key' ORDER BY number")
        .await;
    assert_eq!(
        entries,
        [
            format!("key_create {first_id}"),
            format!("key_create {second_id}"),
            format!("key_revoke {first_id}"),
            format!("key_revoke {first_id}"),
        ]
    );
}

#[tokio::test]
async fn a_key_is_shown_once_and_valid_until_it_expires_or_is_revoked() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let (program, _) = staff::create_account(&stack, Role::Service).await;
    let keys = format!("/api/v1/users/{program}/keys");

    let (first, first_id) = created(admin.post(&keys, &json!({"name": "export"})).await).await;
    let later = json!({"name": "import", "expires_at": "2199-12-31T23:00:00-01:00"});
    let (second, second_id) = created(admin.post(&keys, &later).await).await;

    assert!(first.starts_with(&format!("dfk_{first_id}_")), "{first}");
    let list = list_keys(&admin, &keys).await;
    assert_keys_are_listed_without_secrets(&stack, &list, &first).await;

    let secret = first.rsplit_once('_').expect("a secret").1;
    let guessed = format!("dfk_{first_id}_{}", "x".repeat(secret.len()));
    assert_eq!(with_key(&stack, &guessed).await, unknown());
    let list = list_keys(&admin, &keys).await;
    assert_eq!(
        list["data"][1]["used_at"],
        Value::Null,
        "a wrong guess counted as a use of the key"
    );

    assert_eq!(with_key(&stack, &first).await, recognized());
    assert_eq!(with_key(&stack, &second).await, recognized());
    let list = list_keys(&admin, &keys).await;
    assert!(list["data"][1]["used_at"].is_string(), "{list}");
    let crossed = format!("dfk_{second_id}_{secret}");
    for wrong in [crossed.as_str(), "dfk_x", "dfk_", &first[..first.len() - 1]] {
        assert_eq!(with_key(&stack, wrong).await, unknown(), "{wrong}");
    }

    assert_eq!(admin.delete(&format!("{keys}/{first_id}")).await.status(), 204);
    assert_eq!(with_key(&stack, &first).await, unknown(), "a revoked key was accepted");
    assert_eq!(
        admin.delete(&format!("{keys}/{first_id}")).await.status(),
        404,
        "a revoked key can be revoked again"
    );
    assert_eq!(with_key(&stack, &second).await, recognized());
    let past = "expires_at = DATE_SUB(UTC_TIMESTAMP(6), INTERVAL 1 SECOND)";
    stack.database.execute(&format!("UPDATE api_keys SET {past} WHERE id = '{second_id}'")).await;
    assert_eq!(with_key(&stack, &second).await, unknown(), "an expired key was accepted");
    assert_key_entries(&stack, &first_id, &second_id).await;
    stack.stop().await;
}

#[tokio::test]
async fn denied_requests_are_audited_under_the_owner_of_a_known_key_but_not_of_a_guessed_one() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let (program, email) = staff::create_account(&stack, Role::Service).await;
    let keys = format!("/api/v1/users/{program}/keys");
    let (key, id) = created(admin.post(&keys, &json!({"name": "export"})).await).await;
    let guessed = format!("dfk_{id}_{}", "x".repeat(43));
    let named = (json!("service"), json!(program.to_string()), json!(email), json!(id));
    let nobody = (json!("anonymous"), Value::Null, json!(""), Value::Null);
    let of_key = format!("UPDATE api_keys SET {{}} WHERE id = '{id}'");
    let of_program = format!("UPDATE users SET {{}} WHERE id = '{program}'");
    let alive = "expires_at = NULL, revoked_at = NULL";
    let invalidations = [
        (&of_key, "revoked_at = NOW(6)", alive),
        (&of_key, "expires_at = NOW(6) - INTERVAL 1 HOUR", alive),
        (&of_program, "disabled_at = NOW(6)", "disabled_at = NULL"),
    ];
    for (update, end, undo) in invalidations {
        stack.database.execute(&update.replace("{}", end)).await;
        for (presented, expected) in [(&key, &named), (&guessed, &nobody)] {
            assert_eq!(with_key(&stack, presented).await, unknown(), "{end}");
            let line = admin.audit("action=access&limit=1").await.remove(0);
            assert_eq!(line["result"], "api_key_invalid");
            let details = &line["details"]["key"];
            let shown = (&line["actor_kind"], &line["actor_id"], &line["actor"], details);
            assert_eq!(
                shown,
                (&expected.0, &expected.1, &expected.2, &expected.3),
                "{end}: {line}"
            );
        }
        stack.database.execute(&update.replace("{}", undo)).await;
        assert_eq!(with_key(&stack, &key).await, recognized(), "{undo}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn only_enabled_service_accounts_have_keys() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let (program, email) = staff::create_account(&stack, Role::Service).await;
    let user = format!("/api/v1/users/{program}");
    let keys = format!("{user}/keys");
    let draft = json!({"name": "export"});
    let none = (409, "not_a_service_account".to_owned());

    let of_a_person = format!("/api/v1/users/{}/keys", operator.id);
    assert_eq!(refusal(admin.post(&of_a_person, &draft).await).await, none);
    for refused in [operator.post(&keys, &draft).await, operator.get(&keys).await] {
        assert_eq!(refusal(refused).await, recognized());
    }
    for (wrong, code) in [
        (json!({}), "name_required"),
        (json!({"name": "x", "expires_at": "tomorrow"}), "time_invalid"),
        (json!({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}), "time_in_the_past"),
    ] {
        let body: Value = admin.post(&keys, &wrong).await.json().await.expect("JSON");
        assert_eq!(body["error"]["details"][0]["code"], code, "{body}");
    }
    let (key, _) = created(admin.post(&keys, &draft).await).await;
    assert_eq!(
        refused_sign_in(&stack, &email).await,
        (401, "sign_in_failed".to_owned()),
        "a service account signed in with a password"
    );

    assert_eq!(admin.delete(&user).await.status(), 200);
    assert_eq!(
        with_key(&stack, &key).await,
        unknown(),
        "the key of a disabled account was accepted"
    );
    assert_eq!(refusal(admin.post(&keys, &draft).await).await, none);
    assert_eq!(admin.put(&user, &json!({"enabled": true})).await.status(), 200);
    assert_eq!(with_key(&stack, &key).await, recognized());

    let person = json!({"role": "operator", "password": PASSWORD});
    assert_eq!(admin.put(&user, &person).await.status(), 200);
    assert_eq!(
        with_key(&stack, &key).await,
        unknown(),
        "the key stayed valid after the role change"
    );
    assert_eq!(admin.put(&user, &json!({"role": "service"})).await.status(), 200);
    assert_eq!(with_key(&stack, &key).await, unknown(), "a revoked key became valid again");
    assert_eq!(
        stack
            .database
            .number("SELECT COUNT(*) FROM users WHERE role = 'service' AND password_hash IS NULL")
            .await,
        1
    );
    stack.stop().await;
}
