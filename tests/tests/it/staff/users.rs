//! Tests in which admins create, list, change and disable accounts. The last admin cannot be removed.

use diagflow_store::{Action, Role, UserChange, UserChangeOutcome, UserId};
use diagflow_tests::responses::refusal;
use diagflow_tests::staff::{self, PASSWORD};
use diagflow_tests::{Stack, StackOptions, Staff, seeding};
use reqwest::Response;
use serde_json::{Value, json};

const USERS: &str = "/api/v1/users";

async fn body(response: Response, status: u16) -> Value {
    let received = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(received, status, "{body}");
    body
}

fn path(id: UserId) -> String {
    format!("{USERS}/{id}")
}

async fn field_error_codes(response: Response) -> Vec<String> {
    let body = body(response, 400).await;
    assert_eq!(body["error"]["code"], "invalid_input", "{body}");
    let details = body["error"]["details"].as_array().expect("a list");
    details.iter().map(|fault| fault["code"].as_str().expect("a code").to_owned()).collect()
}

async fn can_sign_in(stack: &Stack, email: &str) -> u16 {
    let given = json!({"email": email, "password": PASSWORD});
    let call = reqwest::Client::new().post(stack.client.url("/api/v1/auth/login"));
    call.json(&given).send().await.expect("a response").status().as_u16()
}

async fn assert_account_entries(stack: &Stack, admin: &Staff) {
    let entries = stack
        .database
        .audit_rows(
            "SELECT CONCAT_WS(' ', action, result, details) FROM audit \
             WHERE action IN ('user_create', 'user_update', 'user_disable') AND number > 1 \
             ORDER BY number",
        )
        .await;
    let own = admin.email.strip_suffix("@example.org").expect("the domain");
    let addresses = |new: &str, old: &str| {
        format!(r#""email":"{new}@example.org","email_before":"{old}@example.org""#)
    };
    let changed = addresses("ana", "ana.lopez");
    assert_eq!(
        entries,
        [
            r#"user_create success {"role":"operator"}"#.to_owned(),
            r#"user_create email_taken {"role":"operator"}"#.to_owned(),
            format!(
                r#"user_update success {{{changed},"fields":["email","name","role"],"role":"clinician","role_before":"operator"}}"#
            ),
            format!(
                r#"user_update email_taken {{"email":"{own}@example.org","fields":["email"]}}"#
            ),
            r#"user_disable success {"enabled":false,"enabled_before":true,"fields":["enabled"]}"#
                .to_owned(),
            r#"user_disable unchanged {"enabled":false,"fields":["enabled"]}"#.to_owned(),
            r#"user_update success {"enabled":true,"enabled_before":false,"fields":["enabled"]}"#
                .to_owned(),
            "user_disable not_found {}".to_owned(),
        ]
    );
}

#[tokio::test]
async fn an_account_is_created_read_changed_and_disabled() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let draft = json!({
        "email": "Ana.Lopez@Example.org", "name": " Ana López ", "role": "operator",
        "password": PASSWORD,
    });

    let response = admin.post(USERS, &draft).await;
    let location = response.headers()["location"].to_str().expect("text").to_owned();
    let created = body(response, 201).await["user"].clone();

    assert_eq!(
        (&created["email"], &created["name"]),
        (&json!("ana.lopez@example.org"), &json!("Ana López"))
    );
    assert_eq!(
        location,
        stack.client.url(&format!("{USERS}/{}", created["id"].as_str().unwrap_or_default()))
    );
    let path = format!("{USERS}/{}", created["id"].as_str().expect("an id"));
    assert_eq!(body(admin.get(&path).await, 200).await["user"], created);
    assert_eq!(refusal(admin.post(USERS, &draft).await).await, (409, "email_taken".to_owned()));
    assert_eq!(can_sign_in(&stack, "ANA.lopez@example.org").await, 200);

    let change = json!({"name": "Ana", "role": "clinician", "email": "ana@example.org"});
    let changed = body(admin.put(&path, &change).await, 200).await["user"].clone();
    assert_eq!((&changed["name"], &changed["role"]), (&json!("Ana"), &json!("clinician")));
    assert_eq!(can_sign_in(&stack, "ana@example.org").await, 200);
    let taken = admin.put(&path, &json!({"email": admin.email})).await;
    assert_eq!(refusal(taken).await, (409, "email_taken".to_owned()));

    let disabled = body(admin.delete(&path).await, 200).await["user"].clone();
    assert_eq!(disabled["enabled"], false);
    assert_eq!(can_sign_in(&stack, "ana@example.org").await, 401);
    assert_eq!(
        body(admin.delete(&path).await, 200).await["user"]["disabled_at"],
        disabled["disabled_at"]
    );
    let enabled = admin.put(&path, &json!({"enabled": true})).await;
    assert_eq!(body(enabled, 200).await["user"]["enabled"], true);
    assert_eq!(can_sign_in(&stack, "ana@example.org").await, 200);
    for id in ["no-id".to_owned(), UserId::new().to_string()] {
        let not_found = (404, "not_found".to_owned());
        assert_eq!(refusal(admin.get(&format!("{USERS}/{id}")).await).await, not_found);
        assert_eq!(refusal(admin.delete(&format!("{USERS}/{id}")).await).await, not_found);
    }
    assert_account_entries(&stack, &admin).await;
    stack.stop().await;
}

#[tokio::test]
async fn all_account_errors_are_reported_at_once() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let error_codes_of =
        async |draft: Value| field_error_codes(admin.post(USERS, &draft).await).await;

    assert_eq!(
        error_codes_of(json!({})).await,
        ["email_required", "name_required", "role_required", "password_required"]
    );
    let wrong =
        json!({"email": "ana", "name": "x".repeat(201), "role": "king", "password": "short"});
    assert_eq!(
        error_codes_of(wrong).await,
        ["email_invalid", "name_too_long", "role_invalid", "password_too_short"]
    );
    let mistyped = json!({"email": 1, "name": [], "role": "admin", "password": PASSWORD});
    assert_eq!(error_codes_of(mistyped).await, ["field_invalid", "field_invalid"]);
    let program = json!({
        "email": "p@example.org", "name": "P", "role": "service", "password": PASSWORD
    });
    assert_eq!(error_codes_of(program).await, ["password_forbidden"]);
    let own_name = json!({
        "email": "maria.fernandez@example.org", "name": "Maria Fernandez", "role": "admin",
        "password": "MariaFernandez",
    });
    assert_eq!(error_codes_of(own_name).await, ["password_too_common"]);
    let (id, _) = staff::create_account(&stack, Role::Service).await;
    let program = path(id);
    assert_eq!(
        field_error_codes(admin.put(&program, &json!({"role": "admin"})).await).await,
        ["password_required"]
    );
    assert_eq!(
        field_error_codes(admin.put(&program, &json!({"password": PASSWORD})).await).await,
        ["password_forbidden"]
    );
    stack.stop().await;
}

async fn assert_query_errors_are_reported_together(admin: &Staff) {
    let wrong = "role=king&page=0&per_page=101&disabled=maybe&page=2&q=a";
    let refused = admin.get(&format!("{USERS}?{wrong}")).await;
    let refused = body(refused, 400).await;
    assert_eq!(refused["error"]["code"], "invalid_query", "{refused}");
    let received = refused["error"]["details"].as_array().expect("a list").iter();
    let received: Vec<_> = received.map(|fault| [&fault["field"], &fault["code"]]).collect();
    assert_eq!(
        json!(received),
        json!([
            ["page", "repeated"],
            ["page", "number_invalid"],
            ["per_page", "number_invalid"],
            ["role", "role_invalid"],
            ["disabled", "flag_invalid"],
            ["q", "unknown_parameter"],
        ])
    );
}

#[tokio::test]
async fn accounts_are_listed_by_page_search_and_filter() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let mut created = Vec::new();
    for number in 0..7 {
        let role = if number < 4 { "clinician" } else { "operator" };
        let draft = json!({
            "email": format!("person_{number}@clinic.example.org"), "name": format!("100% Número {number}"),
            "role": role, "password": PASSWORD,
        });
        let user = body(admin.post(USERS, &draft).await, 201).await["user"].clone();
        created.push(user["id"].as_str().expect("an id").to_owned());
    }
    assert_eq!(admin.delete(&format!("{USERS}/{}", created[0])).await.status(), 200);
    let found = async |query: &str| {
        let list = body(admin.get(&format!("{USERS}?{query}")).await, 200).await;
        let ids = list["data"].as_array().expect("a list").iter();
        let ids: Vec<String> = ids.map(|it| it["id"].as_str().expect("an id").to_owned()).collect();
        (ids, list["pagination"]["total"].as_i64().expect("a total"))
    };

    let (first, total) = found("search=clinic.EXAMPLE&per_page=3").await;
    let (second, _) = found("search=clinic.EXAMPLE&per_page=3&page=2").await;
    let (third, _) = found("search=clinic.EXAMPLE&per_page=3&page=3").await;
    assert_eq!(total, 7);
    let newest_first: Vec<String> = created.iter().rev().cloned().collect();
    assert_eq!([first, second, third].concat(), newest_first);
    assert_eq!(found("search=n%C3%BAmero%203").await, (vec![created[3].clone()], 1));
    assert_eq!(
        found("search=100%25").await.1,
        7,
        "the search must match the character `%` in names"
    );
    assert_eq!(found("search=person%25").await.1, 0, "the search treats `%` as a wildcard");
    assert_eq!(found("search=person_").await.1, 7);
    assert_eq!(found("search=personX").await.1, 0);
    assert_eq!(found("role=clinician").await.1, 4);
    assert_eq!(found("role=clinician&disabled=false").await.1, 3);
    assert_eq!(found("disabled=true").await, (vec![created[0].clone()], 1));
    assert_eq!(found("").await.1, 8);
    assert_eq!(found("role=&page=").await.1, 8, "empty query parameters must be ignored");
    assert_query_errors_are_reported_together(&admin).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    assert_eq!(refusal(operator.get(USERS).await).await, (403, "forbidden".to_owned()));
    stack.stop().await;
}

#[tokio::test]
async fn an_account_change_applies_to_open_sessions_at_once() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let staff = Staff::with_role(&stack, Role::Admin).await;
    let (replica, client) = stack.start_replica().await;
    let staff = staff.at_api(&client);
    assert_eq!(staff.get(USERS).await.status(), 200);

    body(admin.put(&path(staff.id), &json!({"role": "operator"})).await, 200).await;
    assert_eq!(refusal(staff.get(USERS).await).await, (403, "forbidden".to_owned()));
    assert_eq!(staff.get("/api/v1/auth/validate").await.status(), 200);

    let other = staff.sign_in_again(&stack).await;
    body(admin.put(&path(staff.id), &json!({"password": "seven purple otters juggle"})).await, 200)
        .await;
    let ended = (401, "session_ended".to_owned());
    assert_eq!(refusal(staff.get("/api/v1/auth/validate").await).await, ended);
    assert_eq!(refusal(other.get("/api/v1/auth/validate").await).await, ended);

    let disabled_user = Staff::with_role(&stack, Role::Clinician).await.at_api(&client);
    assert_eq!(disabled_user.get("/api/v1/auth/validate").await.status(), 200);
    assert_eq!(admin.delete(&path(disabled_user.id)).await.status(), 200);
    assert_eq!(refusal(disabled_user.get("/api/v1/auth/validate").await).await, ended);
    body(admin.put(&path(disabled_user.id), &json!({"enabled": true})).await, 200).await;
    let still = refusal(disabled_user.get("/api/v1/auth/validate").await).await;
    assert_eq!(still, ended, "an old session became valid again when the account was re-enabled");
    replica.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn the_last_admin_cannot_be_removed() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let me = path(admin.id);
    let refused = (409, "last_admin".to_owned());

    assert_eq!(refusal(admin.delete(&me).await).await, refused);
    assert_eq!(refusal(admin.put(&me, &json!({"role": "operator"})).await).await, refused);
    assert_eq!(refusal(admin.put(&me, &json!({"enabled": false})).await).await, refused);
    body(admin.put(&me, &json!({"role": "admin", "enabled": true})).await, 200).await;

    let second = Staff::with_role(&stack, Role::Admin).await;
    assert_eq!(admin.delete(&path(second.id)).await.status(), 200);
    assert_eq!(
        refusal(admin.delete(&me).await).await,
        refused,
        "a disabled admin was counted as a remaining admin"
    );
    body(admin.put(&path(second.id), &json!({"enabled": true})).await, 200).await;
    assert_eq!(admin.delete(&me).await.status(), 200, "one of two admins could not be disabled");
    let refusals =
        stack.database.number("SELECT COUNT(*) FROM audit WHERE result = 'last_admin'").await;
    assert_eq!(refusals, 4);
    stack.stop().await;
}

#[tokio::test]
async fn one_admin_remains_when_two_demote_each_other() {
    let stack = Stack::without_processes(StackOptions::default()).await;
    let (one, _) = staff::create_account(&stack, Role::Admin).await;
    let (two, _) = staff::create_account(&stack, Role::Admin).await;
    let to = |role| UserChange { role: Some(role), ..UserChange::default() };
    let disable = UserChange { disabled: Some(true), ..to(Role::Admin) };
    let restore = UserChange { disabled: Some(false), ..to(Role::Admin) };
    let entry = seeding::audit_entry(Action::UserUpdate);
    for round in 0..20 {
        let demotion = if round % 2 == 0 { to(Role::Operator) } else { disable.clone() };

        let (first, second) = tokio::join!(
            stack.store.change_user(one, &demotion, &entry),
            stack.store.change_user(two, &demotion, &entry),
        );

        let outcomes = [first.expect("a response"), second.expect("a response")];
        let done = outcomes.iter().filter(|it| matches!(it, UserChangeOutcome::Applied(_))).count();
        let refused =
            outcomes.iter().filter(|it| matches!(it, UserChangeOutcome::LastAdmin)).count();
        assert_eq!((done, refused), (1, 1), "round {round}");
        for user in [one, two] {
            stack.store.change_user(user, &restore, &entry).await.expect("restored");
        }
    }
    stack.stop().await;
}
