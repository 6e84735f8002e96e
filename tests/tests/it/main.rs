//! Tests of the whole system, from outside. One binary, so that it is linked once.

mod banned;
mod cancel;
mod command_line;
mod crowded;
mod faults;
mod history_budget;
mod idempotency;
mod intake;
mod journey;
mod layers;
mod loopai;
mod loopai_budget;
mod loopai_side;
mod mail;
mod pressure;
mod records;
mod replay;
mod runbook;
mod shutdown;
mod staff;
mod storing;
mod stream;
mod survival;
mod tls;
mod unnoted;
mod up;
