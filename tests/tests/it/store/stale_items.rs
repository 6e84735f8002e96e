//! Tests of the list of runs and deliveries that have not changed for a long time and that the reconciler looks up in
//! Temporal.

use super::Records;
use super::indexes::fill;
use std::time::Duration;

#[tokio::test]
async fn stale_items_are_listed_in_order_without_gaps_or_repeats() {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    const AGO: &str = "NOW(6) - INTERVAL 1 HOUR";
    let records = Records::new().await;
    fill(&records).await;
    let count = format!(
        "SELECT (SELECT COUNT(*) FROM submissions JOIN runs ON submission_id = id AND number = run_number \
             WHERE status IN ('pending', 'processing') AND temporal_run_id IS NOT NULL \
                 AND updated_at <= {AGO} AND started_at <= {AGO}) \
           + (SELECT COUNT(*) FROM deliveries \
             WHERE settled_at IS NULL AND start_after IS NULL AND created_at <= {AGO})"
    );
    // The number is a lower bound because more items may become stale while the test is reading the list.
    let least = records.database.number(&count).await;
    let mut cursors = Vec::new();
    loop {
        let found = records.store.stale_items(HOUR, cursors.last(), 100).await.expect("a response");
        if found.is_empty() {
            break;
        }
        cursors.extend(found.into_iter().map(|(cursor, _)| cursor));
        assert!(
            cursors.windows(2).all(|pair| pair[0] < pair[1]),
            "the items are not in order, or an item is repeated"
        );
    }
    let most = records.database.number(&count).await;

    let found = i64::try_from(cursors.len()).expect("a small number");
    assert!(
        least > 1000 && (least..=most).contains(&found),
        "the list has {found} items instead of {least} to {most}"
    );
    records.remove().await;
}
