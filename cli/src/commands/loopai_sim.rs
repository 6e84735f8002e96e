//! `diagflow loopai-sim`: simulates LoopAI.

use crate::settings::LogSettings;
use crate::{logging, shutdown};
use anyhow::Context;
use diagflow_simulators::loopai::{LoopAiSim, Scenario, Settings};
use std::net::SocketAddr;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:5050")]
    listen: SocketAddr,
    /// API key that callers must send as a Bearer token
    #[arg(long, env = "LOOPAI_API_KEY")]
    api_key: Option<String>,
    /// Seconds between a request and its result
    #[arg(long, default_value_t = 3.0)]
    delay: f64,
    /// Default behaviour for all submissions, such as "fail" or "diagnose=503*2, delay=1s"; see docs/loopai.md
    #[arg(long, env = "LOOPAI_SIM_SCENARIO", default_value = "")]
    scenario: Scenario,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    logging::init(&LogSettings::read()?)?;
    let delay = Duration::try_from_secs_f64(args.delay).context("--delay is invalid")?;
    let settings = Settings {
        // An empty environment variable counts as unset.
        api_key: args.api_key.filter(|key| !key.is_empty()),
        scenario: args.scenario,
        delay_ms: u64::try_from(delay.as_millis())?,
        ..Settings::default()
    };
    let stop = shutdown::on_signal()?;
    let simulator = LoopAiSim::start(args.listen, settings)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    tracing::info!(url = simulator.url(), "simulating LoopAI");
    simulator.serve_until(stop.cancelled_owned()).await;
    Ok(())
}
