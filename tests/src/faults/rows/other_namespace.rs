//! The row for a process configured with a different Temporal namespace from the one the runs belong to.

use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::StackOptions;
use crate::temporal_cli;

/// A second API process uses the same database but a different namespace. It neither starts nor ends runs.
pub(crate) async fn second_process() -> RowReport {
    let options = StackOptions::default().reconcile_soon();
    let mut testbed = Testbed::start(options).await;
    for _ in 0..5 {
        testbed.submit_with_comments("[sim: delay=5s]").await;
    }
    testbed.stack.set("TEMPORAL_NAMESPACE", temporal_cli::create_namespace().await);
    let (second, client) = testbed.stack.start_replica().await;
    testbed.stack.unset("TEMPORAL_NAMESPACE");
    client.wait_for_start_problem("wrong_temporal_cluster").await;

    testbed.submit_many(5).await;
    let report = testbed.report().await;
    second.kill();
    report
}
