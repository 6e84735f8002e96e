//! Executions of the diagnosis workflow: the queue of runs to start, adoption by a Temporal execution, state
//! transitions, and reconciliation with Temporal.

pub(crate) mod adoption;
pub(crate) mod cancellation;
pub(crate) mod cluster;
pub(crate) mod queue;
pub(crate) mod reconcile;
pub(crate) mod row;
pub(crate) mod stuck;
pub(crate) mod transitions;
