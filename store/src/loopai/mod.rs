//! Limits the load on LoopAI across all workers: slots for executions, a circuit breaker, and the decision whether a
//! run may send its request now. See `docs/adr/0012-loopai-limits-and-circuit-breaker.md`.

pub(crate) mod admission;
pub(crate) mod breaker;
pub(crate) mod slots;
