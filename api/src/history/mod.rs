//! Describes the workflow histories of runs and e-mails for staff.
//!
//! Workflow histories contain only ids and codes, so their descriptions cannot reveal patient data. Failure types and
//! messages are either our own codes or texts from Temporal.

pub(crate) mod changed_options;
pub(crate) mod describe;
pub(crate) mod execution;
pub(crate) mod failure;
pub(crate) mod pending;
pub(crate) mod stuck;

use temporalio_client::WorkflowExecutionDescription;

/// Returns the status as shown in the Temporal UI.
fn status_name(description: &WorkflowExecutionDescription) -> String {
    format!("{:?}", description.status())
}
