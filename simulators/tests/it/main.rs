//! Tests the simulators over sockets and through their public API.

mod inbox;
mod loopai_contract;
mod loopai_faults;
mod smtp;
mod smtp_faults;
mod support;
