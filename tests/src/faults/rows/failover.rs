use crate::Proxy;
use crate::dedicated_servers::DedicatedMariaDb;
use crate::eventually::within;
use crate::faults::load::Load;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::StackOptions;
use std::time::Duration;

const PATIENTS: usize = 4;
/// Number of submissions to wait for before and after the failover.
const BATCH: usize = 5;
/// Time limit for the submissions after the failover, which is shorter than a connection's lifetime.
const RECOVERY_TIME: Duration = Duration::from_secs(30);

/// Under load, the primary becomes read-only and its replica is promoted. Open connections still lead to the old
/// primary, while new connections lead to the new one.
pub(crate) async fn to_a_replica() -> RowReport {
    let old = DedicatedMariaDb::with_binary_log().await;
    let new = old.start_replica().await;
    let proxy = Proxy::to(&old.address()).await;
    let options = StackOptions {
        mysql: Some(format!("mysql://diagflow@{}", proxy.address())),
        ..StackOptions::default().with("IDEMPOTENCY_LEASE_SECONDS", "3")
    };
    let mut testbed = Testbed::start(options).await;
    let load = Load::start(PATIENTS, &[testbed.stack.client.clone()]);
    load.wait_for_accepted(BATCH).await;

    old.fail_over_to(&new).await;
    proxy.redirect(&new.address());

    let accepted = load.accepted();
    within(RECOVERY_TIME, "submissions to be accepted by the new primary", || async {
        (load.accepted() >= accepted + BATCH).then_some(())
    })
    .await;
    for followed in load.stop().await {
        testbed.record_followed(followed);
    }
    testbed.report().await
}
