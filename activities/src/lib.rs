//! The activities of a diagnosis run, which use LoopAI, e-mail and the database, and the worker that runs them.
//!
//! Each external system has a directory with its client, errors and settings. The crate `workflows` defines the order
//! of the steps, and the crate `store` contains the SQL.

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
