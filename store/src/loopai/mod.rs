//! Limits the load on LoopAI across all workers with execution slots and a circuit breaker, which together decide
//! whether a run may send its request. See `docs/adr/0012-loopai-limits-and-circuit-breaker.md`.

pub(crate) mod admission;
pub(crate) mod breaker;
pub(crate) mod slots;
pub(crate) mod wait_status;
