//! Deterministic workflow code, which must not do I/O, read the clock or use random numbers. Before changing
//! [`diagnosis`] or [`delivery`], read `docs/CHANGING-WORKFLOWS.md`: recorded histories must still replay.

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
