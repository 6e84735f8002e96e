//! The deterministic part: what a diagnosis run does, in which order, with which limits.
//!
//! Here: the workflows, the contract with their activities, and every timeout. Not here: anything that
//! does I/O, reads a clock or draws a random number. Before you change [`diagnosis`], read
//! `docs/CHANGING-WORKFLOWS.md`: recorded histories must replay.

#![warn(missing_docs)]

pub mod contract;
pub mod delivery;
pub mod diagnosis;
pub mod policy;

pub use contract::{
    DeliveryInput, DeliveryRef, DiagnosisActivities, DiagnosisInput, RunRef, SubmissionRef,
    TASK_QUEUE,
};
pub use delivery::DeliveryWorkflow;
pub use diagnosis::DiagnosisWorkflow;
pub use policy::PollSchedule;
