//! The deterministic workflow code: the steps of a diagnosis run, their order and their timeouts.
//!
//! Contains the workflows, the contract with their activities, and every timeout. Contains nothing that does I/O,
//! reads a clock or draws a random number. Read `docs/CHANGING-WORKFLOWS.md` before you change [`diagnosis`] or
//! [`delivery`]: recorded histories must replay.

#![warn(missing_docs)]

pub mod contract;
pub mod delivery;
pub mod diagnosis;
pub mod policy;

pub use contract::{
    DeliveryInput, DeliveryRef, DiagnosisActivities, DiagnosisInput, RunRef, SubmissionRef,
};
pub use delivery::DeliveryWorkflow;
pub use diagnosis::DiagnosisWorkflow;
pub use policy::PollSchedule;
