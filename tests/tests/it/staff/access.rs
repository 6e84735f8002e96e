//! Tests of access control. They call every documented route with every role, without a token, and with every kind of
//! invalid token, and compare the responses with a table. The test fails if a route is missing from the table.

mod table;

use self::table::{ROLES, Rule, TABLE};
use Rule::{Needs, OfPhotos, OfSubmission, OfToken, Open, Optional, OtherProof};
use diagflow_store::Role;
use diagflow_tests::responses::refusal;
use diagflow_tests::staff::create_account;
use diagflow_tests::tokens::Forgery;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, photos, servers};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

struct Callers {
    by_role: BTreeMap<String, (Role, Staff)>,
    bad: Vec<(String, &'static str)>,
    submission: AcceptedSubmission,
}

impl Callers {
    async fn of(stack: &Stack) -> Callers {
        let admin = Staff::with_role(stack, Role::Admin).await;
        let mut by_role = BTreeMap::new();
        for role in Role::ALL.iter().copied().filter(|role| *role != Role::Service) {
            by_role.insert(role.to_string(), (role, Staff::with_role(stack, role).await));
        }
        let (program, _) = program(stack, &admin).await;
        by_role.insert(Role::Service.to_string(), (Role::Service, program));
        let bad = bad_tokens(stack, &admin).await;
        let photo = [photos::retina()];
        let submission = stack.client.submit("ana@example.org", "itches", &photo).await;
        Callers { by_role, bad, submission }
    }
}

async fn bad_tokens(stack: &Stack, admin: &Staff) -> Vec<(String, &'static str)> {
    let signed_out = Staff::with_role(stack, Role::Admin).await;
    let logout = signed_out.post("/api/v1/auth/logout", &json!({})).await;
    assert_eq!(logout.status(), 204);
    let (revoked, key) = program(stack, admin).await;
    assert_eq!(admin.delete(&key).await.status(), 204);
    let unknown_key = format!("dfk_{}_secret", Uuid::new_v4());
    let forged = Forgery::ALL.map(|forgery| (forgery.of(&admin.access_token), forgery.code()));
    let others = [
        (signed_out.access_token, "session_ended"),
        (unknown_key, "api_key_invalid"),
        (revoked.access_token, "api_key_invalid"),
    ];
    forged.into_iter().chain(others).collect()
}

/// Creates a service account with an API key. Returns the account and the path of the key.
async fn program(stack: &Stack, admin: &Staff) -> (Staff, String) {
    let (id, email) = create_account(stack, Role::Service).await;
    let path = format!("/api/v1/users/{id}/keys");
    let made = admin.post(&path, &json!({"name": "test key"})).await;
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.expect("JSON");
    let key = made["api_key"].as_str().expect("a key").to_owned();
    let mut program = admin.with_token(key);
    (program.id, program.email) = (id, email);
    (program, format!("{path}/{}", made["key"]["id"].as_str().expect("an id")))
}

/// Calls a route for the test's submission or for a nonexistent object. The body is an empty JSON object, so permitted
/// calls by staff change nothing.
async fn request(
    caller: &Staff,
    method: &str,
    template: &str,
    submission: &AcceptedSubmission,
) -> Response {
    let mut path = template.to_owned();
    if template.contains("submissions/{id}") || template.starts_with("/api/user/") {
        path = path.replace("{id}", &submission.submission_id);
    }
    path = path.replace("{position}", "1");
    for name in ["{id}", "{run_id}", "{key_id}", "{session_id}", "{delivery_id}"] {
        path = path.replace(name, &Uuid::new_v4().to_string());
    }
    let method: Method = method.parse().expect("a method");
    let call = caller.request(method.clone(), &path);
    let body = match template {
        "/api/user/erase/{id}" => json!({"confirm": submission.submission_id}),
        _ => json!({}),
    };
    let call = if method == Method::GET { call } else { call.json(&body) };
    call.send().await.expect("a response")
}

fn is_allowed_through(status: u16) -> bool {
    !matches!(status, 401 | 403 | 429 | 500..)
}

fn allowed(role: Role, permission: &str) -> bool {
    let (_, permissions) = ROLES.iter().find(|(listed, _)| *listed == role).expect("a row");
    permissions.contains(&permission)
}

async fn check_role(callers: &Callers, role: Role, staff: &Staff, row: &(&str, &str, Rule)) {
    let (method, path, rule) = row;
    let response = request(staff, method, path, &callers.submission).await;
    let status = response.status().as_u16();
    let context = format!("{role} at {method} {path}: {status}");
    match rule {
        Open | Optional => assert!(is_allowed_through(status), "{context}"),
        OtherProof => {
            assert!(
                matches!(status, 400 | 401 | 404),
                "a session was accepted instead of a signature or a refresh token: {context}"
            )
        }
        OfSubmission if allowed(role, "submissions:read") => assert_eq!(status, 200, "{context}"),
        OfPhotos if allowed(role, "clinical:read") => assert_eq!(status, 200, "{context}"),
        // The response does not reveal that another account's submission exists.
        OfSubmission | OfPhotos | OfToken => {
            assert_eq!(refusal(response).await, (404, "not_found".into()), "{context}");
        }
        Needs(permission) if allowed(role, permission) => {
            assert!(is_allowed_through(status), "{context}")
        }
        Needs(_) => assert_eq!(refusal(response).await, (403, "forbidden".into()), "{context}"),
    }
}

/// Checks a route without a token, with the submission's token, and with the token of another submission.
async fn check_anonymous(stack: &Stack, callers: &Callers, row: &(&str, &str, Rule)) {
    let (method, path, rule) = row;
    let admin = &callers.by_role["admin"].1;
    let nobody = admin.with_token(String::new());
    let response = request(&nobody, method, path, &callers.submission).await;
    let status = response.status().as_u16();
    let context = format!("anonymous at {method} {path}: {status}");
    if !matches!(rule, Needs(_)) {
        assert!(
            response.headers().contains_key("ratelimit"),
            "the route has no rate limit: {context}"
        );
    }
    match rule {
        Open | Optional => assert!(is_allowed_through(status), "{context}"),
        OtherProof => assert!(matches!(status, 400 | 401 | 404), "{context}"),
        OfSubmission | OfPhotos | OfToken => {
            assert_eq!(refusal(response).await, (401, "token_required".into()), "{context}");
            let own = admin.with_token(callers.submission.access_token.clone());
            let response = request(&own, method, path, &callers.submission).await;
            assert!(
                response.status().is_success(),
                "{method} {path} rejected the submission's token"
            );
            let other = stack.client.submit("ben@example.org", "", &[photos::retina()]).await;
            let other = admin.with_token(other.access_token);
            let response = request(&other, method, path, &callers.submission).await;
            assert_eq!(
                refusal(response).await,
                (404, "not_found".into()),
                "the token of another submission was accepted: {context}"
            );
        }
        Needs(_) => {
            assert_eq!(refusal(response).await, (401, "sign_in_required".into()), "{context}")
        }
    }
}

async fn check_bad_tokens(callers: &Callers, row: &(&str, &str, Rule)) {
    let (method, path, rule) = row;
    let admin = &callers.by_role["admin"].1;
    let nobody = admin.with_token(String::new());
    let without = outcome(request(&nobody, method, path, &callers.submission).await).await;
    for (token, code) in &callers.bad {
        let response =
            request(&admin.with_token(token.clone()), method, path, &callers.submission).await;
        let context = format!("{code} at {method} {path}");
        match rule {
            Open | OtherProof => {
                assert_eq!(outcome(response).await, without, "the token must be ignored: {context}")
            }
            // Invalid staff tokens and tokens of other submissions get the same response.
            OfSubmission | OfPhotos | OfToken => {
                assert_eq!(refusal(response).await, (404, "not_found".into()), "{context}")
            }
            Optional | Needs(_) => {
                assert_eq!(refusal(response).await, (401, (*code).to_owned()), "{context}");
            }
        }
    }
}

async fn outcome(response: Response) -> (u16, String) {
    match response.status().as_u16() {
        status @ ..400 => (status, String::new()),
        _ => refusal(response).await,
    }
}

/// Returns the permission of every route in the OpenAPI document.
async fn documented(stack: &Stack) -> BTreeMap<(String, String), Option<String>> {
    let document: Value = stack.client.get("/openapi.json").await.json().await.expect("JSON");
    let mut routes = BTreeMap::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "post", "put", "patch", "delete"] {
            if let Some(operation) = item.get(method) {
                let permission = operation["security"][0]["session"][0].as_str().map(str::to_owned);
                routes.insert((method.to_uppercase(), path.clone()), permission);
            }
        }
    }
    routes
}

#[tokio::test]
async fn an_undecodable_id_is_not_found() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let id = admin.id.to_string();

    let mut requests = 0;
    for (method, path) in documented(&stack).await.into_keys() {
        let parts: Vec<_> = path.split('/').collect();
        for bad in parts.iter().filter(|part| part.starts_with('{')) {
            let part = |part: &&str| match *part {
                part if part == *bad => "%ff".to_owned(),
                part if part.starts_with('{') => id.clone(),
                part => part.to_owned(),
            };
            let path = parts.iter().map(part).collect::<Vec<_>>().join("/");
            let method: Method = method.parse().expect("a method");
            let call = admin.request(method.clone(), &path);
            let call = call.json(&json!({"reason": "a test", "name": "a test"}));
            let response = call.send().await.expect("a response");
            let media_type = response.headers()["content-type"].to_str().expect("text").to_owned();
            assert_eq!(media_type, "application/json", "{method} {path}: {}", response.status());
            assert_eq!(refusal(response).await, (404, "not_found".into()), "{method} {path}");
            requests += 1;
        }
    }
    assert!(requests >= 20, "{requests}");
    stack.stop().await;
}

/// Returns the lines that `diagflow routes` prints, with repeated spaces collapsed.
async fn printed_routes() -> BTreeSet<String> {
    let mut command = tokio::process::Command::new(servers::diagflow());
    let output = command.arg("routes").env_clear().output().await.expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn every_route_allows_exactly_the_roles_in_the_table() {
    let stack = Stack::api_only(StackOptions::default()).await;

    let documented = documented(&stack).await;
    let rows: BTreeSet<_> =
        TABLE.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(rows.len(), TABLE.len(), "a route has two rows");
    assert_eq!(
        documented.keys().cloned().collect::<BTreeSet<_>>(),
        rows,
        "the documented routes differ from the rows of the table"
    );

    let printed = printed_routes().await;
    for (method, path, rule) in TABLE {
        let who = match rule {
            Open | Optional | OtherProof => "- everybody".to_owned(),
            OfSubmission | OfPhotos => "- the submission's token, its sender, and staff".to_owned(),
            OfToken => "- the submission's token".to_owned(),
            Needs(permission) => {
                let roles = ROLES.iter().filter(|(_, all)| all.contains(permission));
                let roles: Vec<_> = roles.map(|(role, _)| role.to_string()).collect();
                format!("{permission} {}", roles.join(", "))
            }
        };
        assert!(printed.contains(&format!("{method} {path} {who}")), "{method} {path} {who}");
    }
    assert_eq!(printed.len(), TABLE.len());

    let callers = Callers::of(&stack).await;
    for row in TABLE {
        let (method, path, rule) = row;
        let documented_permission = &documented[&((*method).to_owned(), (*path).to_owned())];
        if let Needs(permission) = rule {
            assert_eq!(
                documented_permission.as_deref(),
                Some(*permission),
                "the documented permission of {method} {path} is wrong"
            );
        }
        check_anonymous(&stack, &callers, row).await;
        check_bad_tokens(&callers, row).await;
        for (role, staff) in callers.by_role.values() {
            // Each call uses a new session because some routes end the caller's session.
            let fresh = match role {
                Role::Service => staff.clone(),
                _ => staff.sign_in_again(&stack).await,
            };
            check_role(&callers, *role, &fresh, row).await;
        }
    }
    stack.stop().await;
}
