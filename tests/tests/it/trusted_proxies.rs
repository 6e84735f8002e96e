//! Tests of how the client address is determined behind reverse proxies.

use diagflow_tests::{ApiClient, Stack, StackOptions};

const STATUS: &str = "/api/user/status/3f1f6b0e-6f0e-4f7b-9d53-0f1f6f3c2a11";

/// Reads the status of a missing submission through a proxy that reports `from` as the client address.
async fn read_from(client: &ApiClient, from: &str) -> u16 {
    let call = reqwest::Client::new().get(client.url(STATUS)).header("x-forwarded-for", from);
    call.send().await.expect("a response").status().as_u16()
}

#[tokio::test]
async fn an_ignored_forwarded_header_is_logged_once() {
    // The limit allows a burst of only one request per client.
    let options = StackOptions::default().with("RATE_LIMIT_READ_PER_MINUTE", "3");
    let mut stack = Stack::api_only(options).await;
    let warnings = |log: &str, text: &str| log.matches(text).count();

    let statuses = [
        read_from(&stack.client, "192.0.2.1").await,
        read_from(&stack.client, "192.0.2.2:4000").await,
    ];
    assert_eq!(statuses, [401, 429], "the peer's address must count");
    let log = stack.api.as_ref().expect("running").log();
    assert_eq!(
        warnings(&log, "X-Forwarded-For is ignored because TRUSTED_PROXIES is 0"),
        1,
        "{log}"
    );

    stack.set("TRUSTED_PROXIES", "1");
    stack.set("TRUSTED_PROXY_ADDRESSES", "203.0.113.7");
    let (process, client) = stack.start_replica().await;
    let statuses = [read_from(&client, "192.0.2.1").await, read_from(&client, "192.0.2.2").await];
    assert_eq!(
        statuses,
        [401, 429],
        "the header must be ignored because the peer is not a trusted proxy"
    );
    let log = process.log();
    let unknown = "X-Forwarded-For is ignored because its sender is not in TRUSTED_PROXY_ADDRESSES";
    assert_eq!(warnings(&log, unknown), 1, "{log}");
    process.kill();

    stack.set("TRUSTED_PROXY_ADDRESSES", "203.0.113.7, 127.0.0.0/8");
    let (process, client) = stack.start_replica().await;
    let statuses = [
        read_from(&client, "192.0.2.1").await,
        read_from(&client, "192.0.2.2:4000").await,
        read_from(&client, "[2001:db8::1]:443").await,
        read_from(&client, "192.0.2.2").await,
    ];
    assert_eq!(statuses, [401, 401, 401, 429], "the address in the header must count");
    // Both replicas write to the same log file.
    assert_eq!(
        warnings(&process.log(), "X-Forwarded-For is ignored"),
        1,
        "the warning must be logged once"
    );
    process.kill();
    stack.stop().await;
}
