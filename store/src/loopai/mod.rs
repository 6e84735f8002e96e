//! How much LoopAI is asked to do: slots for executions, the circuit breaker, and the decision whether a run may
//! send its request now.

pub(crate) mod admission;
pub(crate) mod breaker;
pub(crate) mod slots;
