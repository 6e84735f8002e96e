//! Tests of what is logged during a Temporal outage.

use diagflow_tests::process::Process;
use diagflow_tests::{Proxy, Stack, StackOptions, eventually, photos, servers};
use futures::future::join_all;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Instant;

const SUBMISSIONS: usize = 10;

/// Counts a process's warnings and errors by gRPC status, which identifies the cause of the outage. Entries without a
/// status are counted by their whole text.
fn causes(process: Option<&Process>) -> BTreeMap<String, usize> {
    let mut causes = BTreeMap::new();
    let log = process.expect("running").log();
    for line in log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")) {
        let status = line.split_once("code: ").and_then(|(_, code)| code.split(',').next());
        *causes.entry(status.unwrap_or(line).to_owned()).or_default() += 1;
    }
    causes
}

#[tokio::test]
async fn an_outage_is_logged_once_per_cause_and_minute() {
    let temporal = Proxy::to(&servers::temporal()).await;
    let options = StackOptions::default().with("TEMPORAL_ADDRESS", temporal.address());
    let stack = Stack::with(options).await;
    let photos = [photos::retina()];
    // The outage must not begin before the worker's first poll, because a worker that loses Temporal earlier exits and
    // relies on its supervisor to restart it.
    stack.client.wait_for_start_problem(Value::Null).await;
    temporal.cut();
    let (start, before) = (Instant::now(), temporal.disruptions());

    let submit = || stack.client.submit("ana@example.org", "", &photos);
    let submissions = join_all((0..SUBMISSIONS).map(|_| submit())).await;
    eventually("failed attempts and log entries from both processes", || async {
        let are_logged =
            !causes(stack.api.as_ref()).is_empty() && !causes(stack.worker.as_ref()).is_empty();
        (are_logged && temporal.disruptions() > before + 10 * SUBMISSIONS).then_some(())
    })
    .await;

    let limit = 1 + usize::try_from(start.elapsed().as_secs() / 60).expect("a small number");
    for process in [stack.api.as_ref(), stack.worker.as_ref()] {
        let causes = causes(process);
        assert!(causes.len() <= 3, "{causes:#?}");
        assert!(causes.values().all(|entries| *entries <= limit), "{causes:#?}");
    }
    temporal.restore();
    for submission in &submissions {
        stack.wait_for_status(submission, "completed").await;
    }
    stack.stop().await;
}
