//! The worker: polls Temporal, runs the workflow and its activities.

use crate::activities::Activities;
use crate::telemetry;
use diagflow_workflows::{DeliveryWorkflow, DiagnosisWorkflow};
use std::time::Duration;
use temporalio_client::Client;
use temporalio_sdk::runtime::worker_tuner::{FixedSizeSlotSupplier, TunerHolder};
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio_util::sync::CancellationToken;

/// As the SDK has it: a workflow task is short work without I/O, but keeps its place while a local
/// activity of it is under way.
const MAX_WORKFLOW_TASKS: usize = 100;
/// What activities have beyond `WORKER_SHUTDOWN_TIMEOUT_SECONDS`, to write down what came of an e-mail whose answer is not
/// waited for any more.
const FINAL_WRITE_PERIOD: Duration = Duration::from_secs(10);

/// How the worker behaves.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// `TEMPORAL_TASK_QUEUE`: default `diagnosis`.
    pub task_queue: String,
    /// `WORKER_SHUTDOWN_TIMEOUT_SECONDS`: how long activities may go on after a stop was asked for; default 45 s,
    /// as long as the longest of them but one: an e-mail whose answer has not come by then is settled as
    /// unknown. Ten seconds later the worker ends whatever they do: they are tried again elsewhere.
    pub shutdown_period: Duration,
    /// `WORKER_CONCURRENCY`: how many activities are under way at once, local and ordinary ones each;
    /// default 16.
    pub concurrency: usize,
}

/// Works until `stop` is cancelled, then lets activities end. Not `Send`: await it where it is called.
///
/// # Errors
/// When the worker cannot start, or loses Temporal in a way that does not heal.
pub async fn run_worker(
    client: Client,
    activities: Activities,
    settings: &WorkerSettings,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    telemetry::describe(activities.requester.limits);
    let (mail_shutdown, shutdown_period) = (activities.mailer.shutdown(), settings.shutdown_period);
    let runtime = Runtime::from_current_tokio(Default::default())?;
    let activity_slots = FixedSizeSlotSupplier::new(settings.concurrency);
    let workflow_slots = FixedSizeSlotSupplier::new(MAX_WORKFLOW_TASKS);
    let tuner = TunerHolder::builder()
        .workflow_task_slot_supplier(workflow_slots)
        .activity_task_slot_supplier(activity_slots)
        .local_activity_task_slot_supplier(activity_slots)
        .nexus_task_slot_supplier(workflow_slots)
        .build();
    let options = WorkerOptions::new(settings.task_queue.clone())
        .register_workflow::<DiagnosisWorkflow>()?
        .register_workflow::<DeliveryWorkflow>()?
        .register_activities(activities)
        .tuner(tuner)
        .graceful_shutdown_period(settings.shutdown_period)
        .build();
    let mut worker = Worker::new(&runtime, client, options)?;
    let begin_shutdown = worker.shutdown_handle();
    // The SDK waits without limit for activities that go on, and does not tell local ones.
    let shutdown_period_over = async move {
        stop.cancelled().await;
        begin_shutdown();
        tokio::time::sleep(shutdown_period).await;
        mail_shutdown.cancel();
        tokio::time::sleep(FINAL_WRITE_PERIOD).await;
    };
    tokio::select! {
        outcome = worker.run() => outcome.map_err(Into::into),
        () = shutdown_period_over => {
            tracing::warn!("ending while activities are under way: they are tried again elsewhere");
            Ok(())
        }
    }
}
