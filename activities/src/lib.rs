//! Every side effect of a diagnosis run: LoopAI, e-mail, records; and the worker that runs them.
//!
//! One folder for each outside system, with client, error and settings. What is decided *when* stands
//! in the crate `workflows`; what is written down *how* stands in `store`.

pub mod loopai;
pub mod mail;
pub mod report;
pub mod temporal;

mod admission;
mod asking;
mod diagnosis;
mod failure;
mod images;
mod telemetry;
mod worker;

pub use admission::Admission;
pub use diagnosis::Activities;
pub use images::{ImageLinks, Images};
pub use worker::{WorkerSettings, run_worker};
