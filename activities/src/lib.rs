//! Every side effect of a diagnosis run: LoopAI, e-mail, records; and the worker that runs them.
//!
//! One folder for each outside system, with client, error and settings. What is decided *when* stands
//! in the crate `workflows`; what is written down *how* stands in `store`.

pub mod loopai;
pub mod mail;
pub mod report;
pub mod temporal;

mod activities;
mod failure;
mod request;
mod telemetry;
mod worker;

pub use activities::Activities;
pub use request::DiagnosisRequester;
pub use worker::{WorkerSettings, run_worker};
