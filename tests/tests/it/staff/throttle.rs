//! Tests of the throttle on password guesses. Throttling ends after some time, so it never locks a user out
//! permanently.

use diagflow_store::Role;
use diagflow_tests::staff::{self, PASSWORD};
use diagflow_tests::{Stack, StackOptions};
use futures::future::join_all;
use serde_json::{Value, json};
use std::time::Instant;

const WRONG: &str = "not the password at all";

/// Starts an API behind one trusted proxy so that a test can set the address of each client.
async fn api() -> Stack {
    let options = StackOptions::default().with("TRUSTED_PROXIES", "1");
    Stack::api_only(options).await
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    status: u16,
    code: String,
    retry_after: Option<u64>,
}

async fn sign_in(stack: &Stack, from: &str, email: &str, password: &str) -> Attempt {
    attempt(call(stack, from, email, password, "").await).await
}

async fn sign_in_with(
    stack: &Stack,
    device: &str,
    from: &str,
    email: &str,
    password: &str,
) -> Attempt {
    attempt(call(stack, from, email, password, device).await).await
}

/// Signs in from a new device. Returns the device cookie.
async fn device(stack: &Stack, from: &str, email: &str) -> String {
    let response = call(stack, from, email, PASSWORD, "").await;
    assert_eq!(response.status(), 200);
    let cookies = response.headers().get_all("set-cookie").iter();
    let mut cookies = cookies.map(|cookie| cookie.to_str().expect("text").to_owned());
    let cookie = cookies.find(|cookie| cookie.starts_with("diagflow_device=")).expect("a cookie");
    let attributes: Vec<_> = cookie.split("; ").skip(1).collect();
    let year = "Max-Age=31536000";
    assert_eq!(attributes, ["HttpOnly", "SameSite=Strict", "Path=/api/v1/auth", year]);
    cookie.split(';').next().expect("a name and a value").to_owned()
}

async fn call(
    stack: &Stack,
    from: &str,
    email: &str,
    password: &str,
    device: &str,
) -> reqwest::Response {
    let given = json!({"email": email, "password": password});
    let call = reqwest::Client::new().post(stack.client.url("/api/v1/auth/login"));
    let call = call.header("x-forwarded-for", from).header("cookie", device).json(&given);
    call.send().await.expect("a response")
}

async fn attempt(response: reqwest::Response) -> Attempt {
    let header = response.headers().get("retry-after");
    let retry_after = header.map(|value| value.to_str().expect("text").parse().expect("seconds"));
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    let code = body["error"]["code"].as_str().unwrap_or_default().to_owned();
    Attempt { status, code, retry_after }
}

/// Guesses passwords until the account is throttled, up to 50 times. Returns the number of guesses and the last
/// attempt.
async fn attempts_until_blocked(stack: &Stack, from: &str, email: &str) -> (usize, Attempt) {
    for tries in 0..50 {
        let attempt = sign_in(stack, from, email, WRONG).await;
        if attempt.status != 401 {
            return (tries, attempt);
        }
    }
    panic!("50 guesses were not throttled");
}

fn is_blocked(attempt: &Attempt) -> bool {
    (attempt.status, attempt.code.as_str()) == (429, "too_many_attempts")
}

#[tokio::test]
async fn guesses_are_throttled_whether_the_account_exists_or_not() {
    let stack = api().await;
    let (_, known) = staff::create_account(&stack, Role::Operator).await;
    for email in [known.as_str(), "nobody@example.org"] {
        let (tries, refused) = attempts_until_blocked(&stack, "192.0.2.1", email).await;
        // The first pause lasts one second, so a slow machine may allow one more attempt.
        assert!((5..=6).contains(&tries), "{email}: {tries}");
        assert!(is_blocked(&refused), "{refused:?}");
        assert!((1..=2).contains(&refused.retry_after.expect("a pause")), "{refused:?}");
    }
    let failures = "SELECT SUM(failures) FROM throttles";
    stack.database.execute("UPDATE throttles SET failures = 12 WHERE failures IN (5, 6)").await;
    let before = stack.database.number(&format!("SELECT CAST(({failures}) AS SIGNED)")).await;
    let right = sign_in(&stack, "192.0.2.2", &known, PASSWORD).await;
    assert!(
        is_blocked(&right),
        "the correct password was accepted from a throttled network: {right:?}"
    );
    let after = stack.database.number(&format!("SELECT CAST(({failures}) AS SIGNED)")).await;
    assert_eq!(after, before, "a refused attempt was counted as a failure");
    let elsewhere = sign_in(&stack, "198.51.100.1", &known, PASSWORD).await;
    assert_eq!(elsewhere.status, 200, "{elsewhere:?}");

    let later = "failed_at = DATE_SUB(failed_at, INTERVAL 129 SECOND)";
    stack.database.execute(&format!("UPDATE throttles SET {later}")).await;
    let right = sign_in(&stack, "192.0.2.1", &known, PASSWORD).await;
    assert_eq!(right.status, 200, "the sign-in was refused after the pause: {right:?}");
    let (tries, _) = attempts_until_blocked(&stack, "192.0.2.1", &known).await;
    assert!((5..=6).contains(&tries), "a successful sign-in must reset the count: {tries}");
    let lines = stack
        .database
        .number(
            "SELECT COUNT(*) FROM audit WHERE action = 'sign_in' AND result = 'too_many_attempts'",
        )
        .await;
    assert_eq!(lines, 4);
    stack.stop().await;
}

#[tokio::test]
async fn throttling_does_not_reveal_who_signed_in_from_a_shared_address() {
    let stack = api().await;
    let (_, email) = staff::create_account(&stack, Role::Operator).await;
    let home = "203.0.113.7";
    assert_eq!(sign_in(&stack, home, &email, PASSWORD).await.status, 200);
    for email in [email.as_str(), "nobody@example.org"] {
        let (tries, refused) = attempts_until_blocked(&stack, home, email).await;
        // The first pause lasts one second, so a slow machine may allow one more attempt.
        assert!((5..=6).contains(&tries), "{email}: {tries}");
        assert!(is_blocked(&refused), "{refused:?}");
    }

    // Even on a slow machine, the network's pause outlasts the test, and the account has no failed attempts.
    stack.database.execute("DELETE FROM throttles").await;
    assert_eq!(sign_in(&stack, home, "other@example.org", WRONG).await.status, 401);
    stack.database.execute("UPDATE throttles SET failures = 1000").await;
    for number in 0..6 {
        let started = Instant::now();
        let here = sign_in(&stack, home, &email, WRONG).await;
        let nobody = sign_in(&stack, home, "nobody@example.org", WRONG).await;
        assert!(is_blocked(&here) && is_blocked(&nobody), "{number}: {here:?} {nobody:?}");
        let waits = [&here, &nobody].map(|attempt| attempt.retry_after.expect("a pause"));
        let between = started.elapsed().as_secs() + 1;
        assert!((waits[1]..=waits[1] + between).contains(&waits[0]), "{number}: {waits:?}");
        if number == 3 {
            let right = sign_in(&stack, home, &email, PASSWORD).await;
            assert_eq!(right.status, 200, "a known user cannot sign in: {right:?}");
        }
    }
    let own = "failures BETWEEN 1 AND 20";
    stack.database.execute(&format!("UPDATE throttles SET failures = 12 WHERE {own}")).await;
    let right = sign_in(&stack, home, &email, PASSWORD).await;
    assert!(is_blocked(&right), "guesses from the known address are not throttled: {right:?}");
    stack.stop().await;
}

#[tokio::test]
async fn concurrent_guesses_are_throttled() {
    let stack = api().await;
    let (_, email) = staff::create_account(&stack, Role::Operator).await;
    let (replica, client) = stack.start_replica().await;
    let given = json!({"email": email, "password": WRONG});
    let guesses = (0..40).map(|number| {
        let api = if number % 2 == 0 { &stack.client } else { &client };
        let call = reqwest::Client::new().post(api.url("/api/v1/auth/login"));
        call.header("x-forwarded-for", "192.0.2.1").json(&given).send()
    });

    let started = Instant::now();
    let responses = join_all(guesses).await;
    let pauses = (started.elapsed().as_secs() + 1).ilog2() as usize;

    let statuses =
        responses.into_iter().map(|response| response.expect("a response").status().as_u16());
    let (attempt, refused): (Vec<u16>, Vec<u16>) = statuses.partition(|status| *status == 401);
    // The pauses last 1, 2, 4 … seconds, so a slow machine may allow one more attempt after each pause.
    assert!(
        (5..=5 + pauses).contains(&attempt.len()),
        "{} attempts were allowed with {pauses} pauses",
        attempt.len()
    );
    assert!(refused.iter().all(|status| *status == 429), "{refused:?}");
    replica.stop().await;
    stack.stop().await;
}

#[tokio::test]
async fn attacks_from_elsewhere_do_not_lock_a_user_out_at_their_usual_network() {
    let stack = api().await;
    let (_, email) = staff::create_account(&stack, Role::Operator).await;
    assert_eq!(sign_in(&stack, "203.0.113.7", &email, PASSWORD).await.status, 200);
    for number in 0..20 {
        let attempt = sign_in(&stack, &format!("10.0.{number}.1"), &email, WRONG).await;
        assert_eq!(attempt.status, 401, "{number}: {attempt:?}");
    }
    // Twenty failed sign-ins do not cause a pause, but five more do.
    stack.database.execute("UPDATE throttles SET failures = 25 WHERE failures = 20").await;

    let elsewhere = sign_in(&stack, "198.51.100.1", &email, PASSWORD).await;
    let at_home = sign_in(&stack, "203.0.113.99", &email, PASSWORD).await;

    assert!(is_blocked(&elsewhere), "{elsewhere:?}");
    assert_eq!(at_home.status, 200, "{at_home:?}");
    let wrong = sign_in(&stack, "203.0.113.99", &email, WRONG).await;
    assert!(
        is_blocked(&wrong),
        "the response to a wrong password reveals that the account exists: {wrong:?}"
    );
    // Other networks wait for a minute at most, regardless of the number of failures.
    stack.database.execute("UPDATE throttles SET failures = 1000 WHERE failures >= 20").await;
    let elsewhere = sign_in(&stack, "198.51.100.1", &email, PASSWORD).await;
    let wait = elsewhere.retry_after.expect("a pause");
    assert!((50..=60).contains(&wait), "{wait}");
    stack.stop().await;
}

#[tokio::test]
async fn attacks_from_the_same_network_do_not_lock_out_a_known_device_or_address() {
    let stack = api().await;
    let (_, email) = staff::create_account(&stack, Role::Operator).await;
    let (_, other) = staff::create_account(&stack, Role::Operator).await;
    let (_, new) = staff::create_account(&stack, Role::Operator).await;
    let device = device(&stack, "203.0.113.7", &email).await;
    for number in 0..3 {
        let attempt = sign_in(&stack, "203.0.113.9", &format!("{number}@example.org"), WRONG).await;
        assert_eq!(attempt.status, 401);
        assert_eq!(sign_in(&stack, "203.0.113.9", &email, WRONG).await.status, 401);
    }
    stack.database.execute("UPDATE throttles SET failures = 1000").await;

    assert!(
        is_blocked(&sign_in(&stack, "203.0.113.9", &email, PASSWORD).await),
        "the attacker's network is not throttled"
    );
    assert!(
        is_blocked(&sign_in(&stack, "203.0.113.7", &new, PASSWORD).await),
        "a user who is new to the network is not throttled"
    );
    let with = async |device: &str, from: &str, email: &str| {
        sign_in_with(&stack, device, from, email, PASSWORD).await
    };
    assert_eq!(
        with(&device, "203.0.113.60", &email).await.status,
        200,
        "a known device is throttled"
    );
    assert_eq!(
        sign_in(&stack, "203.0.113.7", &email, PASSWORD).await.status,
        200,
        "a known address is throttled"
    );
    let forged = device.replace("device=", "device=A");
    for (device, email) in [(&forged, &email), (&device, &other)] {
        assert!(is_blocked(&with(device, "203.0.113.61", email).await), "{device} for {email}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn guesses_from_a_known_device_are_counted_separately_and_throttled() {
    let stack = api().await;
    let (_, email) = staff::create_account(&stack, Role::Operator).await;
    let device = device(&stack, "203.0.113.7", &email).await;
    let from_afar =
        async |password| sign_in_with(&stack, &device, "198.51.100.1", &email, password).await;
    let failures = "SELECT CONCAT(failures) FROM throttles WHERE failures > 0 ORDER BY failures";

    for _ in 0..5 {
        assert_eq!(from_afar(WRONG).await.status, 401);
    }
    assert_eq!(
        stack.database.texts(failures).await,
        ["5"],
        "the failures must be counted for the device only"
    );
    stack.database.execute("UPDATE throttles SET failures = 12 WHERE failures = 5").await;
    assert_eq!(
        from_afar(WRONG).await.status,
        401,
        "the throttled device must be treated as an unknown client"
    );
    assert_eq!(stack.database.texts(failures).await, ["1", "1", "1", "12"]);
    stack.database.execute("UPDATE throttles SET failures = 1000").await;
    assert!(
        is_blocked(&from_afar(PASSWORD).await),
        "the throttled device must be treated as an unknown client"
    );

    let quiet = "failed_at = DATE_SUB(failed_at, INTERVAL 16 MINUTE)";
    stack.database.execute(&format!("UPDATE throttles SET {quiet}")).await;
    assert_eq!(
        from_afar(PASSWORD).await.status,
        200,
        "the device is still throttled after a pause"
    );
    let left = stack.database.texts(failures).await;
    assert_eq!(left, ["1000"; 4], "a successful sign-in must reset only the count of the device");
    stack.stop().await;
}

#[tokio::test]
async fn a_network_that_guesses_at_many_accounts_is_throttled_and_recovers() {
    let stack = api().await;
    let (_, email) = staff::create_account(&stack, Role::Operator).await;
    for number in 0..20 {
        let attempt = sign_in(&stack, "192.0.2.1", &format!("{number}@example.org"), WRONG).await;
        assert_eq!(attempt.status, 401, "{number}: {attempt:?}");
    }
    stack.database.execute("UPDATE throttles SET failures = 25 WHERE failures = 20").await;
    assert!(is_blocked(&sign_in(&stack, "192.0.2.200", &email, PASSWORD).await));
    assert_eq!(sign_in(&stack, "192.0.3.1", &email, PASSWORD).await.status, 200);

    let network = "failures >= 20";
    stack.database.execute(&format!("UPDATE throttles SET failures = 160 WHERE {network}")).await;
    let longest = sign_in(&stack, "192.0.2.1", &email, PASSWORD).await.retry_after;
    assert!(longest.is_some_and(|wait| (880..=900).contains(&wait)), "{longest:?}");
    // The count is halved three times in 46 minutes without a failure.
    let quiet = "failed_at = DATE_SUB(failed_at, INTERVAL 46 MINUTE)";
    stack.database.execute(&format!("UPDATE throttles SET {quiet} WHERE {network}")).await;
    assert_eq!(sign_in(&stack, "192.0.2.1", "another@example.org", WRONG).await.status, 401);
    let healed = stack.database.number("SELECT MAX(failures) FROM throttles").await;
    assert_eq!(healed, 21, "the count must be 160 halved three times, plus one");

    stack
        .database
        .execute("UPDATE throttles SET failed_at = DATE_SUB(failed_at, INTERVAL 25 HOUR)")
        .await;
    let rows = stack.database.count_rows("throttles").await;
    assert!(rows > 0);
    assert_eq!(stack.store.sweep_throttles().await.expect("swept") as i64, rows);
    stack.stop().await;
}

#[tokio::test]
async fn a_successful_sign_in_does_not_change_the_network_throttle() {
    let stack = api().await;
    let (_, email) = staff::create_account(&stack, Role::Operator).await;
    for number in 0..3 {
        sign_in(&stack, "192.0.2.1", &format!("{number}@example.org"), WRONG).await;
    }
    let network =
        "SELECT CONCAT(failures, ' ', failed_at) FROM throttles ORDER BY failures DESC LIMIT 1";
    let before = stack.database.texts(network).await;

    assert_eq!(sign_in(&stack, "192.0.2.1", &email, PASSWORD).await.status, 200);

    assert_eq!(stack.database.texts(network).await, before);
    assert!(before[0].starts_with("3 "), "{before:?}");

    let long_ago = "failures = 160, failed_at = DATE_SUB(failed_at, INTERVAL 46 MINUTE)";
    stack.database.execute(&format!("UPDATE throttles SET {long_ago} WHERE failures = 3")).await;
    let before = stack.database.texts(network).await;
    for host in 2..5 {
        let from = format!("192.0.2.{host}");
        assert_eq!(sign_in(&stack, &from, &email, PASSWORD).await.status, 200);
    }
    assert_eq!(
        stack.database.texts(network).await,
        before,
        "a successful sign-in changed the count of the network"
    );
    stack.stop().await;
}

#[tokio::test]
async fn all_spellings_of_an_address_name_one_account_and_share_its_attempts() {
    let stack = api().await;
    let (_, email) = staff::create_account(&stack, Role::Operator).await;
    let full_width = email.replace('@', "＠").to_uppercase();
    let other_network = sign_in(&stack, "198.51.100.1", &full_width, PASSWORD).await;
    assert_eq!(other_network.status, 200, "{full_width}");

    for number in 1..=5 {
        let spelling = format!("{}{email}", "\u{200B}".repeat(number));
        let attempt = sign_in(&stack, "203.0.113.1", &spelling, WRONG).await;
        assert_eq!(attempt.status, 401, "{number}: {attempt:?}");
    }

    let sixth = sign_in(&stack, "203.0.113.1", &full_width, WRONG).await;
    assert_eq!(sixth.status, 429, "{sixth:?}");
    stack.stop().await;
}
