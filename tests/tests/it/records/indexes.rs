//! Every query reads by an index. The queries are those that the store really sends: they are
//! overheard on their way to a database with enough rows that an index is worth while.

mod calls;
mod complete;
mod ear;
mod fill;
mod lists;
mod people;
mod plans;

use super::Records;
pub(super) use fill::fill;
use plans::Server;

#[tokio::test]
async fn every_query_reads_by_an_index() {
    let records = Records::new().await;
    fill(&records).await;
    ear::listen_to(&records.database);
    calls::call_everything(&records).await;
    lists::list_everything(&records.store).await;
    lists::search_audit(&records.store).await;
    people::call_everything(&records.store).await;
    let statements = ear::overheard();
    // Each is one of ours, or the ear is in the wrong place.
    assert!(statements.len() >= 100, "{statements:#?}");

    let mut server = Server::connect(&records.database).await;
    let mut faults = Vec::new();
    for statement in statements {
        faults.extend(server.fault_of(&statement).await);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    records.remove().await;
}
