use crate::dedicated_servers::DedicatedMariaDb;
use crate::faults::acknowledged::ExpectedEnd;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::stack::StackOptions;

/// LoopAI returns a result larger than the largest statement the database accepts. Other submissions complete.
pub(crate) async fn rejected_by_the_database() -> RowReport {
    let database = DedicatedMariaDb::start().await;
    database.as_root("SET GLOBAL max_allowed_packet = 1048576").await;
    let options = StackOptions { mysql: Some(database.url()), ..StackOptions::default() };
    let mut testbed = Testbed::start(options).await;
    let large = testbed.submit_with_comments("[sim: status=huge:2MB, delay=100ms]").await;
    testbed.allow_ends(&large, &[ExpectedEnd::failed("records_too_large")]);
    testbed.submit_many(2).await;
    testbed.stack.wait_for_status(&large, "failed").await;
    testbed.report().await
}
