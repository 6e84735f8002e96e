//! Access control: the test calls every documented route with every role, anonymously, and with every
//! kind of invalid token, and compares the responses with a table. A route without a row fails the
//! test.

use Rule::{Needs, OfSubmission, OfToken, Open, Optional, OtherProof};
use diagflow_store::Role;
use diagflow_tests::responses::refusal;
use diagflow_tests::staff::create_account;
use diagflow_tests::tokens::Forgery;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, Staff, photos, servers};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Everybody. Tokens are ignored.
    Open,
    /// Everybody. A valid token identifies the caller; an invalid one is rejected.
    Optional,
    /// Callers with a proof of another kind: a signature or a refresh token. Access tokens are
    /// ignored.
    OtherProof,
    /// The submission's token, staff with `submissions:read`, and the account that sent it.
    OfSubmission,
    /// The submission's token only.
    OfToken,
    /// Roles with this permission.
    Needs(&'static str),
}

/// The permissions of each role. They are repeated here, so that a change in
/// `api/src/auth/permissions.rs` is deliberate.
const ROLES: &[(Role, &[&str])] = &[
    (
        Role::Admin,
        &[
            "account:self",
            "submissions:read",
            "clinical:read",
            "history:read",
            "submissions:cancel",
            "submissions:retry",
            "submissions:delete",
            "submissions:update",
            "submissions:correct",
            "submissions:export",
            "deliveries:resend",
            "users:read",
            "users:write",
            "audit:read",
        ],
    ),
    (
        Role::Operator,
        &[
            "account:self",
            "submissions:read",
            "history:read",
            "submissions:cancel",
            "submissions:retry",
            "submissions:update",
            "submissions:correct",
            "deliveries:resend",
        ],
    ),
    (Role::Clinician, &["account:self", "submissions:read", "clinical:read", "submissions:update"]),
    (Role::Institution, &["account:self", "submissions:read_own"]),
    (Role::Patient, &["account:self", "submissions:read_own"]),
    (Role::Service, &["submissions:read", "history:read", "submissions:export"]),
];

/// Every route, and who may call it.
const TABLE: &[(&str, &str, Rule)] = &[
    ("GET", "/", Open),
    ("GET", "/health", Open),
    ("GET", "/health/db", Open),
    ("GET", "/ready", Open),
    ("GET", "/version", Open),
    ("GET", "/metrics", Open),
    ("POST", "/api/user/submit", Optional),
    ("POST", "/api/v1/auth/login", Open),
    ("POST", "/api/admin/login", Open),
    ("POST", "/api/v1/auth/refresh", OtherProof),
    ("POST", "/api/hooks/loopai", OtherProof),
    ("GET", "/api/files/{id}", OtherProof),
    ("GET", "/api/user/status/{id}", OfSubmission),
    ("GET", "/api/user/events/{id}", OfSubmission),
    ("GET", "/api/v1/auth/validate", Needs("account:self")),
    ("POST", "/api/v1/auth/logout", Needs("account:self")),
    ("POST", "/api/v1/auth/password", Needs("account:self")),
    ("GET", "/api/v1/auth/sessions", Needs("account:self")),
    ("DELETE", "/api/v1/auth/sessions", Needs("account:self")),
    ("DELETE", "/api/v1/auth/sessions/{session_id}", Needs("account:self")),
    ("GET", "/api/v1/submissions", Needs("submissions:read_own")),
    ("GET", "/api/admin/submissions", Needs("submissions:read")),
    ("GET", "/api/admin/submissions/export", Needs("submissions:export")),
    ("GET", "/api/admin/submissions/{id}", Needs("submissions:read")),
    ("PATCH", "/api/admin/submissions/{id}", Needs("submissions:update")),
    ("DELETE", "/api/admin/submissions/{id}", Needs("submissions:delete")),
    ("POST", "/api/admin/submissions/{id}/restore", Needs("submissions:delete")),
    ("POST", "/api/admin/submissions/{id}/cancel", Needs("submissions:cancel")),
    ("POST", "/api/admin/submissions/{id}/retry", Needs("submissions:retry")),
    ("POST", "/api/admin/submissions/retry", Needs("submissions:retry")),
    (
        "POST",
        "/api/admin/submissions/{id}/deliveries/{delivery_id}/resend",
        Needs("deliveries:resend"),
    ),
    ("GET", "/api/admin/submissions/{id}/history", Needs("history:read")),
    ("GET", "/api/admin/submissions/{id}/history/{run_id}/raw", Needs("history:read")),
    ("GET", "/api/admin/files/{id}", Needs("clinical:read")),
    ("GET", "/api/admin/events", Needs("submissions:read")),
    ("GET", "/api/v1/users", Needs("users:read")),
    ("POST", "/api/v1/users", Needs("users:write")),
    ("GET", "/api/v1/users/{id}", Needs("users:read")),
    ("PUT", "/api/v1/users/{id}", Needs("users:write")),
    ("DELETE", "/api/v1/users/{id}", Needs("users:write")),
    ("GET", "/api/v1/users/{id}/sessions", Needs("users:read")),
    ("DELETE", "/api/v1/users/{id}/sessions", Needs("users:write")),
    ("DELETE", "/api/v1/users/{id}/sessions/{session_id}", Needs("users:write")),
    ("GET", "/api/v1/users/{id}/keys", Needs("users:read")),
    ("POST", "/api/v1/users/{id}/keys", Needs("users:write")),
    ("DELETE", "/api/v1/users/{id}/keys/{key_id}", Needs("users:write")),
    ("GET", "/api/v1/audit", Needs("audit:read")),
    // The last row, because it ends the submission.
    ("POST", "/api/user/cancel/{id}", OfToken),
];

struct Callers {
    by_role: BTreeMap<String, (Role, Staff)>,
    /// Invalid tokens, each with the expected error code.
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

/// A service account with an API key, and the path of the key.
async fn program(stack: &Stack, admin: &Staff) -> (Staff, String) {
    let (id, email) = create_account(stack, Role::Service).await;
    let path = format!("/api/v1/users/{id}/keys");
    let made = admin.post(&path, &json!({"name": "of a test"})).await;
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.expect("JSON");
    let key = made["api_key"].as_str().expect("a key").to_owned();
    let mut program = admin.with_token(key);
    (program.id, program.email) = (id, email);
    (program, format!("{path}/{}", made["key"]["id"].as_str().expect("an id")))
}

/// Calls a route for the submission or for an object that does not exist, with an empty JSON object
/// as its body, so that permitted calls change nothing.
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
    for name in ["{id}", "{run_id}", "{key_id}", "{session_id}", "{delivery_id}"] {
        path = path.replace(name, &Uuid::new_v4().to_string());
    }
    let method: Method = method.parse().expect("a method");
    let call = caller.request(method.clone(), &path);
    let call = if method == Method::GET { call } else { call.json(&json!({})) };
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
                "a session is not the required proof: {context}"
            )
        }
        OfSubmission if allowed(role, "submissions:read") => assert_eq!(status, 200, "{context}"),
        // Another account's submission: its existence is not revealed.
        OfSubmission | OfToken => {
            assert_eq!(refusal(response).await, (404, "not_found".into()), "{context}");
        }
        Needs(permission) if allowed(role, permission) => {
            assert!(is_allowed_through(status), "{context}")
        }
        Needs(_) => assert_eq!(refusal(response).await, (403, "forbidden".into()), "{context}"),
    }
}

/// Checks a route without a token, with the submission's token, and with that of another
/// submission.
async fn check_anonymous(stack: &Stack, callers: &Callers, row: &(&str, &str, Rule)) {
    let (method, path, rule) = row;
    let admin = &callers.by_role["admin"].1;
    let nobody = admin.with_token(String::new());
    let response = request(&nobody, method, path, &callers.submission).await;
    let status = response.status().as_u16();
    let context = format!("anonymous at {method} {path}: {status}");
    if !matches!(rule, Needs(_)) {
        assert!(response.headers().contains_key("ratelimit"), "no rate limit: {context}");
    }
    match rule {
        Open | Optional => assert!(is_allowed_through(status), "{context}"),
        OtherProof => assert!(matches!(status, 400 | 401 | 404), "{context}"),
        OfSubmission | OfToken => {
            assert_eq!(refusal(response).await, (401, "token_required".into()), "{context}");
            let own = admin.with_token(callers.submission.access_token.clone());
            let response = request(&own, method, path, &callers.submission).await;
            assert!(response.status().is_success(), "{method} {path} with the submission's token");
            let other = stack.client.submit("ben@example.org", "", &[photos::retina()]).await;
            let other = admin.with_token(other.access_token);
            let response = request(&other, method, path, &callers.submission).await;
            assert_eq!(
                refusal(response).await,
                (404, "not_found".into()),
                "token of another submission: {context}"
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
                assert_eq!(outcome(response).await, without, "tokens are ignored: {context}")
            }
            // Invalid staff tokens and tokens of other submissions get the same response.
            OfSubmission | OfToken => {
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

/// Every documented route with its documented permission.
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

/// The output of `diagflow routes`, with single spaces.
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
    assert_eq!(documented.keys().cloned().collect::<BTreeSet<_>>(), rows, "a route has no row");

    let printed = printed_routes().await;
    for (method, path, rule) in TABLE {
        let who = match rule {
            Open | Optional | OtherProof => "- everybody".to_owned(),
            OfSubmission => "- the submission's token, its sender, and staff".to_owned(),
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
                "documented permission of {method} {path}"
            );
        }
        check_anonymous(&stack, &callers, row).await;
        check_bad_tokens(&callers, row).await;
        for (role, staff) in callers.by_role.values() {
            // A new session for each call, since some routes end the caller's session.
            let fresh = match role {
                Role::Service => staff.clone(),
                _ => staff.sign_in_again(&stack).await,
            };
            check_role(&callers, *role, &fresh, row).await;
        }
    }
    stack.stop().await;
}
