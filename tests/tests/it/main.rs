//! Tests of the whole system, from outside. One binary, so that it is linked once.

mod history_budget;
mod journey;
mod layers;
mod loopai_side;
mod replay;
