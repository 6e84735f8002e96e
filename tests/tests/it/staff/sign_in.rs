//! Tests that neither the response to a failed sign-in nor its duration reveals whether the account exists.

use diagflow_store::Role;
use diagflow_tests::staff::{PASSWORD, create_account};
use diagflow_tests::{Stack, StackOptions};
use reqwest::Response;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const WRONG: &str = "not the password at all";
/// Headers whose values are different in every response.
const ALWAYS_NEW: [&str; 2] = ["date", "x-request-id"];

/// A response without the values that are different every time, which allows tests to compare two responses.
#[derive(Debug, PartialEq, Eq)]
struct ComparableResponse {
    status: u16,
    headers: BTreeMap<String, Vec<u8>>,
    body: Value,
}

impl ComparableResponse {
    async fn of(response: Response) -> ComparableResponse {
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let headers = headers.filter(|(name, _)| !ALWAYS_NEW.contains(&name.as_str())).collect();
        let mut body: Value = response.json().await.expect("JSON");
        assert!(body["request_id"].take().is_string(), "{body}");
        ComparableResponse { status, headers, body }
    }
}

/// Tries to sign in. Returns the response and the duration of the request.
async fn sign_in(
    stack: &Stack,
    client: &reqwest::Client,
    email: &str,
    password: &str,
) -> (Response, Duration) {
    // The test deletes the counts of failed attempts so that sign-ins are not throttled.
    stack.database.execute("DELETE FROM throttles").await;
    let given = json!({"email": email, "password": password});
    let call = client.post(stack.client.url("/api/v1/auth/login")).json(&given);
    let started = Instant::now();
    let response = call.send().await.expect("a response");
    (response, started.elapsed())
}

/// Returns each reason for refusing a sign-in, with an e-mail address and a password that trigger it.
async fn refused_accounts(stack: &Stack) -> [(&'static str, String, &'static str); 4] {
    let (_, known) = create_account(stack, Role::Operator).await;
    let (disabled_id, disabled) = create_account(stack, Role::Operator).await;
    let (_, program) = create_account(stack, Role::Service).await;
    stack
        .database
        .execute(&format!("UPDATE users SET disabled_at = NOW(6) WHERE id = '{disabled_id}'"))
        .await;
    // The unknown address must be as long as the other addresses, which are random.
    let unknown = known.replace("operator-", "operatox-");
    [
        ("a wrong password", known, WRONG),
        ("an unknown address", unknown, PASSWORD),
        ("a disabled account", disabled, PASSWORD),
        ("a program, which has no password", program, PASSWORD),
    ]
}

#[tokio::test]
async fn all_failed_sign_ins_get_the_same_response_in_the_same_time() {
    const TRIES: usize = 9;
    let stack = Stack::api_only(StackOptions::default()).await;
    let client = reqwest::Client::new();
    let who = refused_accounts(&stack).await;
    let mut responses = Vec::new();
    for (_, email, password) in &who {
        responses
            .push(ComparableResponse::of(sign_in(&stack, &client, email, password).await.0).await);
    }
    assert_eq!(
        (responses[0].status, &responses[0].body["error"]["code"]),
        (401, &"sign_in_failed".into())
    );
    for (response, (why, ..)) in responses.iter().zip(&who) {
        assert_eq!(response, &responses[0], "{why}");
    }

    // The kinds of attempts alternate so that other load on the machine affects them all equally.
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for _ in 0..TRIES {
        for (why, email, password) in &who {
            let (_, time) = sign_in(&stack, &client, email, password).await;
            times.entry(why).or_default().push(time);
        }
    }
    let median = |why: &str| {
        let mut times = times[why].clone();
        times.sort();
        times[TRIES / 2]
    };
    let usual = median(who[0].0);
    for (why, _, _) in &who {
        let time = median(why);
        assert!(time * 2 > usual && time < usual * 2, "{why}: {time:?}, usually {usual:?}");
    }
    stack.stop().await;
}
