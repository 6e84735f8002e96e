//! The metrics recorder and its upkeep.

use diagflow_api::metrics_builder;
use metrics_exporter_prometheus::PrometheusHandle;
use std::time::Duration;

const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Installs the recorder and starts its upkeep task. Without it, histogram samples would accumulate in memory until the
/// metrics are scraped.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    let metrics = metrics_builder().install_recorder()?;
    let recorder = metrics.clone();
    tokio::spawn(async move {
        let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            upkeep.tick().await;
            recorder.run_upkeep();
        }
    });
    Ok(metrics)
}
