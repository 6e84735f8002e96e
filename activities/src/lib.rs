//! The worker and the activities of a diagnosis run, which call LoopAI, send e-mails and update the database.
//!
//! The modules `loopai` and `mail` each contain the client, errors and settings for one external system. The
//! `workflows` crate defines the order of the activities, and the `store` crate contains the SQL.

pub mod loopai;
pub mod mail;
pub mod temporal;

mod activities;
mod ends;
mod failure;
mod request;
mod telemetry;
mod worker;

pub use activities::Activities;
pub use request::DiagnosisRequester;
pub use worker::{WorkerSettings, run_worker};
