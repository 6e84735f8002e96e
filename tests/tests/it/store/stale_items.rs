//! What Temporal is asked about, because it has stood unchanged for long.

use super::Records;
use super::indexes::fill;
use std::time::Duration;

#[tokio::test]
async fn all_that_is_overdue_is_walked_in_order_without_gap_or_repeat() {
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
    // Meanwhile more may come to stand for so long.
    let least = records.database.number(&count).await;
    let mut places = Vec::new();
    loop {
        let found = records.store.overdue(HOUR, places.last(), 100).await.expect("an answer");
        if found.is_empty() {
            break;
        }
        places.extend(found.into_iter().map(|(place, _)| place));
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "in order, and none twice");
    }
    let most = records.database.number(&count).await;

    let found = i64::try_from(places.len()).expect("not so many");
    assert!(least > 1000 && (least..=most).contains(&found), "{found} of {least} to {most}");
    records.remove().await;
}
