//! The recorder of metrics, the same for every role.

use diagflow_api::metrics_builder;
use metrics_exporter_prometheus::PrometheusHandle;
use std::time::Duration;

/// How often the recorder sums up what was measured.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Installs the recorder for the process. Without upkeep, every measured time would stay in memory until
/// somebody asks for the metrics, and perhaps nobody ever does.
///
/// # Errors
/// When there is a recorder already.
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
