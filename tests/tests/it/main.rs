//! Tests of the whole system, from outside. One binary, so that it is linked once.

mod journey;
mod layers;
