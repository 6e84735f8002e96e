//! Every side effect of a diagnosis run (LoopAI, e-mail, database), and the worker that runs them.
//!
//! One directory for each external system, with its client, errors and settings. The order of the steps is in the crate
//! `workflows`, the SQL in `store`.

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
