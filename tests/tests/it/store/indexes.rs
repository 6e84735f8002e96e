//! Checks that every query uses an index. The test records the queries that the store sends to a database with enough
//! rows to make an index worthwhile.

mod accounts;
mod coverage;
mod listings;
mod plans;
mod rows;
mod sql_recorder;
mod submissions;

use super::Records;
use plans::Server;
pub(super) use rows::fill;

#[tokio::test]
async fn every_query_uses_an_index() {
    let records = Records::new().await;
    fill(&records).await;
    sql_recorder::start(&records.database);
    submissions::call_everything(&records).await;
    listings::list_everything(&records.store).await;
    listings::search_audit(&records.store).await;
    accounts::call_everything(&records.store).await;
    let statements = sql_recorder::statements();
    // Fewer than 100 recorded statements would mean that the recorder is broken.
    assert!(statements.len() >= 100, "{statements:#?}");

    let mut server = Server::connect(&records.database).await;
    let mut problems = Vec::new();
    for statement in statements {
        problems.extend(server.problem_with(&statement).await);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    records.remove().await;
}
