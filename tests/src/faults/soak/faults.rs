//! The random faults of the soak test.

use super::{FAULT_INTERVAL, Soak};
use crate::ports::free_port;
use crate::process::Process;
use crate::temporal_cli::{self, INPUTS};
use diagflow_simulators::mail::{Action, Rule, Step};
use diagflow_workflows::SubmissionRef;
use fastrand::Rng;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Number of faulty responses in a single LoopAI or mail server fault.
const FAULTY_RESPONSES: u32 = 5;
/// How long a worker is frozen, in seconds. Many activity attempts and workflow tasks time out meanwhile.
const FREEZE_SECONDS: RangeInclusive<u64> = 20..=60;

#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    ApiKilled,
    ApiRestarted,
    WorkerKilled,
    WorkerRestarted,
    WorkerFrozen,
    MySqlKilled,
    TemporalKilled,
    LoopAiFaulty,
    MailServerFaulty,
    SignalsWithPayloads,
}

/// How often each fault occurs, relative to the others.
const FREQUENCIES: [(Fault, usize); 10] = [
    (Fault::ApiKilled, 2),
    (Fault::ApiRestarted, 2),
    (Fault::WorkerKilled, 2),
    (Fault::WorkerRestarted, 2),
    (Fault::WorkerFrozen, 1),
    (Fault::MySqlKilled, 2),
    (Fault::TemporalKilled, 2),
    (Fault::LoopAiFaulty, 2),
    (Fault::MailServerFaulty, 2),
    (Fault::SignalsWithPayloads, 2),
];

/// A worker that has been frozen and replaced.
pub(super) struct FrozenWorker {
    process: Process,
    until: Instant,
}

impl Fault {
    fn choose(rng: &mut Rng) -> Fault {
        let weighted: Vec<_> = FREQUENCIES
            .iter()
            .flat_map(|(fault, times)| std::iter::repeat_n(*fault, *times))
            .collect();
        weighted[rng.usize(..weighted.len())]
    }

    /// The name of the fault's counter.
    fn name(self) -> &'static str {
        match self {
            Fault::ApiKilled => "API killed",
            Fault::ApiRestarted => "API restarted",
            Fault::WorkerKilled => "worker killed",
            Fault::WorkerRestarted => "worker restarted",
            Fault::WorkerFrozen => "worker frozen",
            Fault::MySqlKilled => "MySQL killed",
            Fault::TemporalKilled => "Temporal killed",
            Fault::LoopAiFaulty => "LoopAI faulty",
            Fault::MailServerFaulty => "mail server faulty",
            Fault::SignalsWithPayloads => "signals with payloads",
        }
    }
}

impl Soak {
    pub(super) async fn inject_fault(&mut self) {
        let fault = Fault::choose(&mut self.rng);
        // The number of choices within a fault depends on the timing, so they must not affect later faults.
        let mut rng = self.rng.fork();
        let stack = &mut self.testbed.stack;
        match fault {
            Fault::ApiKilled => {
                stack.api.take().expect("a running process").kill();
                stack.start_api().await;
            }
            Fault::ApiRestarted => {
                stack.api.take().expect("a running process").stop().await;
                stack.start_api().await;
            }
            Fault::WorkerKilled => {
                stack.worker.take().expect("a running process").kill();
                stack.start_worker().await;
            }
            Fault::WorkerRestarted => {
                stack.worker.take().expect("a running process").stop().await;
                stack.start_worker().await;
            }
            Fault::WorkerFrozen => {
                self.freeze_worker(Duration::from_secs(rng.u64(FREEZE_SECONDS))).await;
            }
            Fault::MySqlKilled => {
                self.database.kill();
                self.database.restart().await;
            }
            Fault::TemporalKilled => {
                self.temporal.kill();
                self.temporal.restart().await;
            }
            Fault::LoopAiFaulty => self.make_loopai_faulty(&mut rng),
            Fault::MailServerFaulty => self.make_mail_server_faulty(&mut rng),
            Fault::SignalsWithPayloads => self.send_signals(&mut rng).await,
        }
        self.count(fault.name());
    }

    fn make_loopai_faulty(&self, rng: &mut Rng) {
        // Five unreadable responses in a row would end a run, so `html` appears only in patients' scripts.
        let faults = ["500", "429:1s", "reset", "hang", "502"];
        let fault = faults[rng.usize(..faults.len())];
        let script = format!(
            "diagnose={fault}*{FAULTY_RESPONSES}, status={fault}*{FAULTY_RESPONSES}, delay=100ms"
        );
        self.testbed.stack.loopai.set_scenario(script.parse().expect("a scenario"));
    }

    fn make_mail_server_faulty(&self, rng: &mut Rng) {
        let rules = [
            Rule::reply(Step::Connect, 421, "4.3.2 Shutting down"),
            Rule::reply(Step::Rcpt, 451, "4.7.1 Try later"),
            Rule::new(Step::Body, Action::DropAfterAccept),
            Rule::new(Step::Body, Action::Drop),
        ];
        let rule = rules[rng.usize(..rules.len())].clone();
        self.testbed.stack.mail.set_script([rule.times(FAULTY_RESPONSES)]).expect("a script");
    }

    /// Signals a random open run with each of the inputs. A run that has not started or has just ended gets no signal.
    async fn send_signals(&mut self, rng: &mut Rng) {
        let query = "SELECT id FROM submissions WHERE finished_at IS NULL";
        let open = self.testbed.stack.database.texts(query).await;
        if open.is_empty() {
            return;
        }
        for input in INPUTS {
            let id = SubmissionRef::new(&open[rng.usize(..open.len())]).workflow_id();
            let signal = ["signal", "--workflow-id", &id, "--name", "execution_changed"];
            let arguments = [&signal[..], input].concat();
            match temporal_cli::try_workflow(&self.temporal.address(), &arguments).await {
                Ok(_) => self.count("signals accepted"),
                Err(_) => self.count("signals refused"),
            }
        }
    }

    /// Freezes the worker and starts another one, as an orchestrator does when a health check fails. The workers then
    /// run side by side, and the frozen one continues with outdated attempts.
    async fn freeze_worker(&mut self, time: Duration) {
        self.resume_frozen_worker().await;
        let stack = &mut self.testbed.stack;
        let process = stack.worker.take().expect("a running process");
        process.freeze();
        self.frozen = Some(FrozenWorker { process, until: Instant::now() + time });
        // The frozen worker's port is still in use.
        stack.set("WORKER_LISTEN_ADDRESS", format!("127.0.0.1:{}", free_port()));
        stack.start_worker().await;
    }

    pub(super) fn is_frozen_worker_due(&self) -> bool {
        self.frozen.as_ref().is_some_and(|frozen| frozen.until <= Instant::now())
    }

    /// Lets the frozen worker continue for some time, and then stops it.
    pub(super) async fn resume_frozen_worker(&mut self) {
        let Some(FrozenWorker { process, .. }) = self.frozen.take() else { return };
        process.unfreeze();
        tokio::time::sleep(FAULT_INTERVAL).await;
        process.stop().await;
        self.count("worker resumed");
    }
}
